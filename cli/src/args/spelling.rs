//! llama.cpp's single-dash words, which clap would read as bundles of short flags.
//!
//! Exactly these tokens are replaced by their long form, up to a `--`.

use std::ffi::OsString;

/// What is typed, and the flag it stands for.
const WORDS: &[(&str, &str)] = &[
    ("-hf", "--hf-repo"),
    ("-hfr", "--hf-repo"),
    ("-hff", "--hf-file"),
    ("-dev", "--device"),
    ("-ngl", "--gpu-layers"),
    ("-sys", "--system-prompt"),
    ("-np", "--parallel"),
];

/// The argument list with every known word spelt out.
pub fn expand(argv: &[OsString]) -> Vec<OsString> {
    let end = argv.iter().position(|word| word == "--").unwrap_or(argv.len());
    let long = |word: &OsString| {
        let found = WORDS.iter().find(|(short, _)| word == short);
        found.map_or_else(|| word.clone(), |(_, long)| OsString::from(long))
    };
    let (flags, rest) = argv.split_at(end);
    flags.iter().map(long).chain(rest.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(words: &[&str]) -> Vec<OsString> {
        expand(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn every_word_becomes_its_flag() {
        for (short, long) in WORDS {
            assert_eq!(expanded(&["trimtab", short, "x"]), ["trimtab", long, "x"]);
        }
        assert_eq!(expanded(&["-hfx", "-m", "--", "-hf"]), ["-hfx", "-m", "--", "-hf"]);
    }

    #[test]
    fn every_flag_exists() {
        let definition = crate::args::command();
        let flags: Vec<String> = definition
            .get_subcommands()
            .flat_map(|command| command.get_arguments())
            .filter_map(|argument| argument.get_long().map(|long| format!("--{long}")))
            .collect();
        for (short, long) in WORDS {
            assert!(flags.iter().any(|flag| flag == long), "{short} stands for nothing");
        }
    }
}
