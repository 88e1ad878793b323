//! What is typed outranks the variables of flags that it excludes.
//!
//! clap refuses flags that exclude each other wherever they come from. So the typed words are read alone first, and the
//! variables they outrank are then left unbound. Two typed flags, or two variables, are still refused.

use super::environment;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use std::collections::BTreeSet;
use std::ffi::OsString;

/// An argument, and those whose variables do not count where it is typed.
const OUTRANKS: &[(&str, &[&str])] = &[
    ("model", &["hf_repo"]),
    ("what", &["model", "hf_repo"]),
    ("hf_repo", &["model"]),
    ("device", &["cpu", "gpu_layers"]),
    ("cpu", &["device", "gpu_layers"]),
    ("gpu_layers", &["cpu"]),
    ("chat_template", &["chat_template_file"]),
    ("chat_template_file", &["chat_template"]),
    ("prompt", &["file"]),
    ("file", &["prompt"]),
    ("stream", &["no_stream", "logprobs"]),
    ("no_stream", &["stream"]),
    ("logprobs", &["stream"]),
    ("data", &["token_ids"]),
    ("token_ids", &["data"]),
    ("quiet", &["verbose"]),
    ("verbose", &["quiet"]),
    ("stop", &["stop"]),
    ("steer", &["steer"]),
    ("adapt_param", &["adapt_param"]),
    ("json", &["output"]),
    ("output", &["json"]),
];

/// The arguments whose variables are outranked, by a definition that is bound to no variable.
pub fn outranked(unbound: Command, argv: &[OsString]) -> BTreeSet<&'static str> {
    // What is refused here is refused again, and then said; a flag may also need one that a variable gives.
    let Ok(matches) = unbound.ignore_errors(true).try_get_matches_from(argv) else {
        return BTreeSet::new();
    };
    let typed = typed(&matches);
    let losers = OUTRANKS.iter().filter(|(winner, _)| typed.contains(*winner));
    let mut outranked: BTreeSet<_> = losers.flat_map(|(_, losers)| *losers).copied().collect();
    // A file and a revision that are set beside a repository are that repository's.
    if outranked.contains("hf_repo") && environment::is_set("TRIMTAB_HF_REPO") {
        outranked.extend(["hf_file", "revision"]);
    }
    outranked
}

fn typed(matches: &ArgMatches) -> BTreeSet<String> {
    let ids = matches.ids().map(|id| id.as_str());
    let by_hand = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let mut typed: BTreeSet<String> = ids.filter(by_hand).map(str::to_owned).collect();
    if typed.contains("gpu_layers")
        && matches!(matches.try_get_one::<String>("gpu_layers"), Ok(Some(n)) if n == "0")
    {
        typed.insert("cpu".to_owned());
    }
    if let Some((_, inner)) = matches.subcommand() {
        typed.extend(self::typed(inner));
    }
    typed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outranked_by(line: &str) -> Vec<&'static str> {
        let argv: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        outranked(crate::args::definition(), &argv).into_iter().collect()
    }

    #[test]
    fn only_what_is_typed_counts() {
        assert_eq!(outranked_by("trimtab bench"), [""; 0]);
        assert_eq!(outranked_by("trimtab bench --hf-repo a/b -v"), ["model", "quiet"]);
        assert_eq!(outranked_by("trimtab bench --gpu-layers all"), ["cpu"]);
        assert_eq!(outranked_by("trimtab bench --gpu-layers 0"), ["cpu", "device", "gpu_layers"]);
        assert_eq!(outranked_by("trimtab models info x"), ["hf_repo", "model"]);
        // A flag that needs another, which a variable may give, does not hide what is typed.
        assert_eq!(outranked_by("trimtab generate --show-monitor --stop a,b"), ["stop"]);
    }

    #[test]
    fn every_argument_exists() {
        fn ids(command: &Command) -> BTreeSet<String> {
            let own = command.get_arguments().map(|arg| arg.get_id().to_string());
            own.chain(command.get_subcommands().flat_map(ids)).collect()
        }
        let known = ids(&crate::args::definition());
        for (winner, losers) in OUTRANKS {
            assert!(known.contains(*winner), "{winner}");
            assert!(losers.iter().all(|loser| known.contains(*loser)), "{losers:?}");
        }
    }
}
