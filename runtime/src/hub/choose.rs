//! Which files of a repository make the model.
//!
//! A pure function over a list of names, used alike on the hub's listing and on a cached snapshot.
//! A GGUF is preferred over safetensors, because it is one download and already quantised.

use super::error::Error;
use super::filename::{is_model, parts_of};
use super::locator::{HubRef, Pick, is_relative};

/// The quantisation taken where none is asked for, as llama.cpp takes it.
pub(super) const USUAL_QUANT: &str = "Q4_K_M";

/// The files beside the weights of a safetensors model, fetched where they exist.
const SIDE_FILES: &[&str] = &[
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    INDEX,
];

/// Maps tensors to shards.
pub(super) const INDEX: &str = "model.safetensors.index.json";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// A GGUF in one or more parts; the first is the one to open.
    Gguf(Vec<String>),
    /// The safetensors set, small files first.
    Folder(Vec<String>),
}

impl Choice {
    pub(super) fn files(&self) -> &[String] {
        match self {
            Self::Gguf(files) | Self::Folder(files) => files,
        }
    }
}

/// Chooses from the names of a repository's files.
pub(super) fn choose(hub: &HubRef, names: &[String]) -> Result<Choice, Error> {
    let mut ggufs: Vec<&str> = names.iter().map(String::as_str).filter(|n| is_model(n)).collect();
    ggufs.sort_unstable();
    let no_file = |wanted: String| Error::NoFile {
        repo: hub.repo().to_owned(),
        wanted,
        available: ggufs.iter().map(|n| (*n).to_owned()).collect(),
    };
    let first = match hub.pick() {
        Pick::File(file) => {
            let first = first_part(file);
            let listed = names.contains(&first);
            listed.then_some(first).ok_or_else(|| no_file(format!("file {file}")))?
        }
        Pick::Quant(quant) => ggufs
            .iter()
            .find(|n| has_quant(n, quant))
            .map(|n| (*n).to_owned())
            .ok_or_else(|| no_file(format!(".gguf file of {quant}")))?,
        Pick::Default => match ggufs.iter().find(|n| has_quant(n, USUAL_QUANT)).or(ggufs.first()) {
            Some(name) => (*name).to_owned(),
            None => return safetensors(hub, names),
        },
    };
    let parts = parts_of(&first);
    match parts.iter().find(|p| !names.contains(p)) {
        Some(missing) => Err(no_file(format!("part {missing}"))),
        None => checked(hub, Choice::Gguf(parts)),
    }
}

fn safetensors(hub: &HubRef, names: &[String]) -> Result<Choice, Error> {
    let has = |name: &str| names.iter().any(|n| n == name);
    let missing = |wanted: &str| Error::NoFile {
        repo: hub.repo().to_owned(),
        wanted: wanted.to_owned(),
        available: Vec::new(),
    };
    if !has("config.json") {
        return Err(missing(".gguf file and no config.json"));
    }
    let mut weights: Vec<String> =
        names.iter().filter(|n| n.ends_with(".safetensors") && !n.contains('/')).cloned().collect();
    // Some repositories hold a second copy of the weights under another name.
    if has(INDEX) && weights.iter().any(|n| is_shard(n)) {
        weights.retain(|n| is_shard(n));
    } else if has("model.safetensors") {
        weights.retain(|n| n == "model.safetensors");
    }
    weights.sort_unstable();
    if weights.is_empty() {
        return Err(missing(".gguf file and no .safetensors file"));
    }
    let side = SIDE_FILES.iter().filter(|n| has(n)).map(|n| (*n).to_owned());
    checked(hub, Choice::Folder(side.chain(weights).collect()))
}

/// A listing is the hub's word, and a path in it becomes a path on this machine.
fn checked(hub: &HubRef, choice: Choice) -> Result<Choice, Error> {
    match choice.files().iter().find(|f| !is_relative(f)) {
        Some(path) => Err(Error::UnsafePath { repo: hub.repo().to_owned(), path: path.clone() }),
        None => Ok(choice),
    }
}

fn is_shard(name: &str) -> bool {
    name.starts_with("model-") && name.contains("-of-")
}

/// Whether the quantisation stands in the name as a word: `Q4_K` is not in `Q4_K_M`, nor `F16` in `BF16`.
pub(super) fn has_quant(name: &str, quant: &str) -> bool {
    let (name, quant) = (name.to_lowercase(), quant.to_lowercase());
    name.match_indices(&quant).any(|(at, found)| {
        let before = name.get(..at).and_then(|s| s.chars().next_back());
        let after = name.get(at + found.len()..).and_then(|s| s.chars().next());
        before.is_none_or(|c| !c.is_alphanumeric())
            && after.is_none_or(|c| !c.is_alphanumeric() && c != '_')
    })
}

fn first_part(name: &str) -> String {
    parts_of(name).into_iter().next().unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(reference: &str, names: &[&str]) -> Result<Choice, Error> {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        choose(&HubRef::parse(reference).unwrap(), &names)
    }

    fn gguf(reference: &str, names: &[&str]) -> Vec<String> {
        match pick(reference, names).unwrap() {
            Choice::Gguf(files) => files,
            Choice::Folder(files) => panic!("a folder of {files:?}"),
        }
    }

    #[test]
    fn quants_are_whole_words() {
        let table = [
            ("m.Q4_K_M.gguf", "q4_k_m", true),
            ("m-q4_k_m.gguf", "Q4_K_M", true),
            ("Q4_K_M/m-00001-of-00002.gguf", "Q4_K_M", true),
            ("m_Q4_K_M.gguf", "Q4_K_M", true),
            ("m-UD-Q4_K_XL.gguf", "Q4_K_XL", true),
            ("m-Q4_K_M.gguf", "Q4_K", false),
            ("m-BF16.gguf", "F16", false),
            ("m-IQ4_NL.gguf", "Q4_NL", false),
        ];
        for (name, quant, expected) in table {
            assert_eq!(has_quant(name, quant), expected, "{name} {quant}");
        }
    }

    #[test]
    fn one_gguf_is_picked_by_its_quant() {
        let names =
            ["README.md", "m-Q8_0.gguf", "m-Q4_K_M.gguf", "m-IQ2_M.gguf", "mmproj-F16.gguf"];
        assert_eq!(gguf("hf:a/b", &names), ["m-Q4_K_M.gguf"]);
        assert_eq!(gguf("hf:a/b:q8_0", &names), ["m-Q8_0.gguf"]);
        assert_eq!(gguf("hf:a/b:m-Q8_0.gguf", &names), ["m-Q8_0.gguf"]);
        assert_eq!(gguf("hf:a/b", &["z.gguf", "imatrix.gguf", "b.gguf"]), ["b.gguf"]);
        let error = pick("hf:a/b:Q2_K", &names).unwrap_err().to_string();
        assert!(error.contains("Q2_K") && error.contains("m-IQ2_M.gguf"), "{error}");
        assert!(pick("hf:a/b:x.gguf", &names).is_err());
    }

    #[test]
    fn all_parts_of_a_split_gguf_belong_together() {
        let names = ["m-Q4_K_M-00002-of-00002.gguf", "m-Q4_K_M-00001-of-00002.gguf", "z.gguf"];
        let both = ["m-Q4_K_M-00001-of-00002.gguf", "m-Q4_K_M-00002-of-00002.gguf"];
        assert_eq!(gguf("hf:a/b", &names), both);
        assert_eq!(gguf("hf:a/b:m-Q4_K_M-00002-of-00002.gguf", &names), both);
        let error = pick("hf:a/b", &names[1..]).unwrap_err().to_string();
        assert!(error.contains("m-Q4_K_M-00002-of-00002.gguf"), "{error}");
        for whole in ["a-of-b.gguf", "a-00003-of-00002.gguf", "a-1-of-2.gguf", "-of-.gguf", ".gguf"]
        {
            assert_eq!(parts_of(whole), [whole]);
        }
    }

    #[test]
    fn a_safetensors_set_is_taken_once_and_small_files_first() {
        let names = [
            "consolidated.safetensors",
            "model-00002-of-00002.safetensors",
            "model-00001-of-00002.safetensors",
            "original/model.safetensors",
            "tokenizer.json",
            INDEX,
            "config.json",
            "pytorch_model.bin",
        ];
        let expected = [
            "config.json",
            "tokenizer.json",
            INDEX,
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
        ];
        assert_eq!(
            pick("hf:a/b", &names).unwrap(),
            Choice::Folder(expected.map(Into::into).into())
        );
        let single = ["config.json", "model.safetensors", "model.fp16.safetensors"];
        let files = pick("hf:a/b", &single).unwrap();
        assert_eq!(files.files(), ["config.json", "model.safetensors"]);
        assert!(pick("hf:a/b", &["model.safetensors"]).is_err());
        assert!(pick("hf:a/b", &["config.json"]).is_err());
        assert!(pick("hf:a/b", &[]).is_err());
    }

    #[test]
    fn a_listing_cannot_lead_out_of_the_repository() {
        for path in ["../../x.gguf", "/etc/x.gguf", "a\\..\\x.gguf", "c:x.gguf"] {
            let error = pick("hf:a/b", &[path]).unwrap_err();
            assert!(matches!(error, Error::UnsafePath { .. }), "{path}: {error}");
        }
    }
}
