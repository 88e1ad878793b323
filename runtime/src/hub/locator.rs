//! What a user typed after `--model`, understood but not yet fetched.
//!
//! Parsing touches the disk only to tell a path from a name, and never the network. Everything
//! that later becomes part of a path or a URL is checked here, once: owners, repositories, files
//! and revisions cannot lead out of their folder.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::catalogue::{self, CATALOGUE, Entry};
use super::error::{Error, Part};
use super::filename::{is_gguf_name, is_model};
use crate::filetype::{self, FileType};

/// Where a model is to come from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelRef {
    /// A GGUF file on this machine.
    Gguf(PathBuf),
    /// A folder on this machine with `config.json`, `*.safetensors` and `tokenizer.json`.
    Folder(PathBuf),
    /// A repository of the Hugging Face hub.
    Hub(HubRef),
    /// A named model of the catalogue.
    Catalogue(&'static Entry),
}

/// A repository of the hub, and what to take from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubRef {
    repo: String,
    pick: Pick,
    revision: Option<String>,
}

/// What to take from a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pick {
    /// A GGUF (`Q4_K_M` where there is one, else the first), or the safetensors set.
    Default,
    /// This GGUF file, with its other parts where it is split.
    File(String),
    /// The GGUF file of this quantisation.
    Quant(String),
}

impl ModelRef {
    /// Understands what was typed.
    ///
    /// In this order: `hf:owner/repo[:file]`; a catalogue name; an existing folder; an existing
    /// `.gguf` file, or one that begins like it whatever its name is. A folder that happens to be called like a
    /// catalogue entry is reached as `./name`; one that holds a GGUF and no safetensors stands for that GGUF.
    ///
    /// # Errors
    /// When the text is empty, is a malformed reference, a path that does not exist, a file that
    /// is no model, or an unknown name.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::EmptyName);
        }
        if text.starts_with(SCHEME) {
            return HubRef::parse(text).map(Self::Hub);
        }
        match catalogue::find(text) {
            Some(entry) => Ok(Self::Catalogue(entry)),
            None => Self::on_disk(text),
        }
    }

    /// Understands llama.cpp's `-hf USER/REPO[:QUANT]`, `--hf-file FILE` and `--revision REV`.
    ///
    /// A file outranks a quantisation, as it does there.
    ///
    /// # Errors
    /// When any part is malformed, or a revision is given twice.
    pub fn from_hf_flag(
        repo_quant: &str,
        file: Option<&str>,
        revision: Option<&str>,
    ) -> Result<Self, Error> {
        let text = repo_quant.trim();
        let mut hub = HubRef::parse(&format!("{SCHEME}{text}"))?;
        if let Some(file) = file {
            check(is_gguf_path(file).then_some(()), file, Part::File)?;
            hub.pick = Pick::File(file.to_owned());
        }
        if let Some(revision) = revision {
            check(
                (is_revision(revision) && hub.revision.is_none()).then_some(()),
                revision,
                Part::Revision,
            )?;
            hub.revision = Some(revision.to_owned());
        }
        Ok(Self::Hub(hub))
    }

    fn on_disk(text: &str) -> Result<Self, Error> {
        let path = PathBuf::from(text);
        match std::fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => Self::in_folder(path),
            Ok(_) if is_gguf_name(text) => Ok(Self::Gguf(path)),
            Ok(meta) => {
                // Ollama and the hub's cache keep files under their hashes.
                let head = if meta.is_file() { head(&path)? } else { Vec::new() };
                match head.starts_with(b"GGUF") {
                    true => Ok(Self::Gguf(path)),
                    false => Err(Error::NotAModel { path, found: FileType::of(&head) }),
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(Error::io("reading", &path)(e))
            }
            Err(_) if looks_like_a_path(text) => Err(Error::PathMissing { path }),
            Err(_) => Err(Error::UnknownName {
                name: text.to_owned(),
                names: CATALOGUE.iter().map(|e| e.name).collect(),
                nearest: catalogue::nearest(text),
            }),
        }
    }
}

impl ModelRef {
    /// A folder, or the only GGUF in it.
    fn in_folder(path: PathBuf) -> Result<Self, Error> {
        let reading = |e| Error::io("reading", &path)(e);
        let entries = std::fs::read_dir(&path).map_err(reading)?;
        let names: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        if names.iter().any(|name| name.ends_with(".safetensors")) {
            return Ok(Self::Folder(path));
        }
        let mut ggufs: Vec<String> = names.into_iter().filter(|name| is_model(name)).collect();
        ggufs.sort_unstable();
        match ggufs.as_slice() {
            [] => Ok(Self::Folder(path)),
            [one] => Ok(Self::Gguf(path.join(one))),
            _ => Err(Error::SeveralModels { path, names: ggufs }),
        }
    }
}

/// The first bytes of a file.
fn head(path: &Path) -> Result<Vec<u8>, Error> {
    let mut head = Vec::with_capacity(filetype::HEAD);
    let file = std::fs::File::open(path).map_err(Error::io("reading", path))?;
    let most = filetype::HEAD as u64;
    file.take(most).read_to_end(&mut head).map_err(Error::io("reading", path))?;
    Ok(head)
}

impl FromStr for ModelRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl HubRef {
    /// Reads `hf:owner/repo[@revision][:what][@revision]`, where *what* is a `.gguf` file or the
    /// name of a quantisation.
    ///
    /// # Errors
    /// When a part is malformed, or a revision is given twice.
    pub fn parse(text: &str) -> Result<Self, Error> {
        const LONGEST: usize = 2048;
        check((text.len() <= LONGEST).then_some(()), text, Part::Length)?;
        let body = text.strip_prefix(SCHEME).unwrap_or(text);
        let (repo, what) = match body.split_once(':') {
            Some((repo, what)) => (repo, Some(what)),
            None => (body, None),
        };
        let (repo, first) = split_revision(repo);
        let (what, second) = what.map_or((None, None), |w| {
            let (what, revision) = split_revision(w);
            (Some(what), revision)
        });
        check(is_repository(repo).then_some(()), text, Part::Repository)?;
        let pick = what.map_or(Ok(Pick::Default), |w| Pick::parse(w, text))?;
        check((first.is_none() || second.is_none()).then_some(()), text, Part::Revision)?;
        let revision = first.or(second);
        check(revision.is_none_or(is_revision).then_some(()), text, Part::Revision)?;
        Ok(Self { repo: repo.to_owned(), pick, revision: revision.map(str::to_owned) })
    }

    /// `owner/repo`.
    #[must_use]
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// What to take from it.
    #[must_use]
    pub fn pick(&self) -> &Pick {
        &self.pick
    }

    /// The branch, tag or commit asked for.
    #[must_use]
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }
}

impl Pick {
    fn parse(what: &str, text: &str) -> Result<Self, Error> {
        if is_gguf_name(what) {
            check(is_relative(what).then_some(()), text, Part::File)?;
            return Ok(Self::File(what.to_owned()));
        }
        // A slash or a dot means a file was meant, so that is what the error speaks of.
        check((!what.contains(['/', '\\', '.'])).then_some(()), text, Part::File)?;
        check(is_quant(what).then_some(()), text, Part::Quant)?;
        // llama.cpp's word for no choice.
        let any = what.eq_ignore_ascii_case("latest");
        Ok(if any { Self::Default } else { Self::Quant(what.to_owned()) })
    }
}

const SCHEME: &str = "hf:";

/// `Ok` for `Some`; callers write `condition.then_some(())`.
fn check(holds: Option<()>, text: &str, part: Part) -> Result<(), Error> {
    holds.ok_or_else(|| Error::BadReference { text: text.to_owned(), part })
}

fn split_revision(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once('@') {
        Some((before, revision)) => (before, Some(revision)),
        None => (text, None),
    }
}

/// The hub's own rule for names, which also makes them safe as folder names.
fn is_repository(repo: &str) -> bool {
    let name = |n: &str| {
        (1..=96).contains(&n.len())
            && n.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
            && !n.starts_with(['-', '.'])
            && !n.ends_with(['-', '.'])
            && !n.contains("--")
            && !n.contains("..")
    };
    repo.split_once('/').is_some_and(|(owner, repo)| name(owner) && name(repo))
}

fn is_revision(revision: &str) -> bool {
    revision.len() <= 255 && is_relative(revision) && !revision.contains(char::is_whitespace)
}

fn is_quant(quant: &str) -> bool {
    (1..=32).contains(&quant.len())
        && quant.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

fn is_gguf_path(file: &str) -> bool {
    is_gguf_name(file) && is_relative(file)
}

/// Whether a path stays inside the folder it is joined to, on every system.
pub(super) fn is_relative(path: &str) -> bool {
    path.len() <= 1024
        && !path.contains(|c: char| c.is_control() || matches!(c, '\\' | ':'))
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn looks_like_a_path(text: &str) -> bool {
    text.contains(['/', '\\']) || text.starts_with(['.', '~']) || is_gguf_name(text)
}

/// A user's text as an error may show it: one line, no control characters, not too long.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 120;
    let clean = |c: char| {
        if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }
    };
    let short: String = text.chars().take(LONGEST).map(clean).collect();
    if text.chars().nth(LONGEST).is_some() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(repo: &str, pick: Pick, revision: Option<&str>) -> HubRef {
        HubRef { repo: repo.into(), pick, revision: revision.map(str::to_owned) }
    }

    fn file(name: &str) -> Pick {
        Pick::File(name.into())
    }

    #[test]
    fn references_to_the_hub_are_read() {
        let table = [
            ("hf:a/b", hub("a/b", Pick::Default, None)),
            ("hf:a/b@v1", hub("a/b", Pick::Default, Some("v1"))),
            ("hf:a/b@refs/pr/3", hub("a/b", Pick::Default, Some("refs/pr/3"))),
            ("hf:a/b:m.gguf", hub("a/b", file("m.gguf"), None)),
            ("hf:a/b:q/m.GGUF@main", hub("a/b", file("q/m.GGUF"), Some("main"))),
            ("hf:a/b@main:m.gguf", hub("a/b", file("m.gguf"), Some("main"))),
            ("hf:a/b:q5_k_s", hub("a/b", Pick::Quant("q5_k_s".into()), None)),
            ("hf:a/b:latest", hub("a/b", Pick::Default, None)),
            (" hf:A.b_c/D-2.5 ", hub("A.b_c/D-2.5", Pick::Default, None)),
        ];
        for (text, expected) in table {
            assert_eq!(ModelRef::parse(text).unwrap(), ModelRef::Hub(expected), "{text}");
        }
    }

    #[test]
    fn malformed_references_name_the_part() {
        let long = format!("hf:a/{}", "b".repeat(100_000));
        let table = [
            ("hf:", Part::Repository),
            ("hf:a", Part::Repository),
            ("hf:/", Part::Repository),
            ("hf:a/", Part::Repository),
            ("hf:a/b/c", Part::Repository),
            ("hf:../b", Part::Repository),
            ("hf:a/..", Part::Repository),
            ("hf:a/b--c", Part::Repository),
            ("hf:a b/c", Part::Repository),
            ("hf:a/b\0", Part::Repository),
            ("hf:a/ü", Part::Repository),
            ("hf:a/b:../../etc/passwd", Part::File),
            ("hf:a/b:../x.gguf", Part::File),
            ("hf:a/b:/x.gguf", Part::File),
            ("hf:a/b:q//x.gguf", Part::File),
            ("hf:a/b:c:x.gguf", Part::File),
            ("hf:a/b:q\\x.gguf", Part::File),
            ("hf:a/b:model.safetensors", Part::File),
            ("hf:a/b:", Part::Quant),
            ("hf:a/b:Q4 K", Part::Quant),
            ("hf:a/b@", Part::Revision),
            ("hf:a/b@../x", Part::Revision),
            ("hf:a/b@x y", Part::Revision),
            ("hf:a/b@x:m.gguf@y", Part::Revision),
            (&long, Part::Length),
        ];
        for (text, expected) in table {
            match ModelRef::parse(text) {
                Err(Error::BadReference { part, .. }) => assert_eq!(part, expected, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn names_and_paths_are_told_apart() {
        let entry = catalogue::find(catalogue::DEFAULT).unwrap();
        assert_eq!(ModelRef::parse(catalogue::DEFAULT).unwrap(), ModelRef::Catalogue(entry));
        assert!(matches!(ModelRef::parse("").unwrap_err(), Error::EmptyName));
        assert!(matches!(ModelRef::parse(" \n").unwrap_err(), Error::EmptyName));
        assert!(matches!(ModelRef::parse(".").unwrap(), ModelRef::Folder(_)));
        for missing in ["nothing.gguf", "./nothing", "no/where", "a\\b", "/x\0y"] {
            let error = ModelRef::parse(missing).unwrap_err();
            assert!(matches!(&error, Error::PathMissing { path } if path == Path::new(missing)));
        }
        assert!(matches!(ModelRef::parse("Cargo.toml").unwrap_err(), Error::NotAModel { .. }));
    }

    /// A folder of the test's own with files of these names and contents.
    fn folder(name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("trimtab-locator-{}-{name}", std::process::id()));
        std::fs::remove_dir_all(&path).ok();
        std::fs::create_dir_all(&path).unwrap();
        for (file, content) in files {
            std::fs::write(path.join(file), content).unwrap();
        }
        path
    }

    #[test]
    fn a_file_is_known_by_how_it_begins() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\n";
        let files: [(&str, &[u8]); 4] = [
            ("sha256-0f3a", b"GGUF\x03"),
            ("short", b"GG"),
            ("pointer", pointer),
            ("m.pt", b"PK\x03\x04"),
        ];
        let path = folder("head", &files);
        let parse = |name: &str| ModelRef::parse(path.join(name).to_str().unwrap());
        assert_eq!(parse("sha256-0f3a").unwrap(), ModelRef::Gguf(path.join("sha256-0f3a")));
        for (name, kind) in [
            ("short", None),
            ("pointer", Some(FileType::LfsPointer)),
            ("m.pt", Some(FileType::Zip)),
        ] {
            match parse(name).unwrap_err() {
                Error::NotAModel { found, .. } => assert_eq!(found, kind, "{name}"),
                other => panic!("{name}: {other}"),
            }
        }
        assert!(parse("pointer").unwrap_err().to_string().contains("git lfs pull"));
        std::fs::remove_dir_all(&path).ok();
    }

    #[test]
    fn a_folder_with_one_gguf_stands_for_it() {
        let empty: &[u8] = b"";
        let parse = |path: &Path| ModelRef::parse(path.to_str().unwrap());
        let table: [(&str, &[&str], Option<&str>); 4] = [
            ("one", &["config.json", "mmproj-F16.gguf", "m-Q8_0.gguf"], Some("m-Q8_0.gguf")),
            (
                "set",
                &["m-00002-of-00002.gguf", "m-00001-of-00002.gguf"],
                Some("m-00001-of-00002.gguf"),
            ),
            ("both", &["config.json", "model.safetensors", "m.gguf"], None),
            ("none", &["config.json"], None),
        ];
        for (name, names, expected) in table {
            let files: Vec<(&str, &[u8])> = names.iter().map(|n| (*n, empty)).collect();
            let path = folder(name, &files);
            let expected = match expected {
                Some(file) => ModelRef::Gguf(path.join(file)),
                None => ModelRef::Folder(path.clone()),
            };
            assert_eq!(parse(&path).unwrap(), expected, "{name}");
            std::fs::remove_dir_all(&path).ok();
        }
        let path = folder("two", &[("b.gguf", empty), ("a.gguf", empty)]);
        let error = parse(&path).unwrap_err().to_string();
        assert!(error.contains("holds several GGUF models: a.gguf, b.gguf"), "{error}");
        std::fs::remove_dir_all(&path).ok();
    }

    #[test]
    fn an_unknown_name_is_answered_with_what_there_is() {
        let error = ModelRef::parse("smollm2-135m-instruckt").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("nearest name is smollm2-135m-instruct"), "{text}");
        assert!(error.hint().unwrap().contains("hf:owner/repo"));
        let huge = ModelRef::parse(&"z".repeat(1_000_000)).unwrap_err();
        assert!(huge.to_string().len() < 400);
        let hint = ModelRef::parse("someone/some-model").unwrap_err().hint().unwrap();
        assert!(hint.contains("hf:someone/some-model"), "{hint}");
    }

    #[test]
    fn the_flag_of_llama_cpp_is_read() {
        let parse = ModelRef::from_hf_flag;
        let quant = Pick::Quant("Q8_0".into());
        assert_eq!(parse("a/b:Q8_0", None, None).unwrap(), ModelRef::Hub(hub("a/b", quant, None)));
        let named = ModelRef::Hub(hub("a/b", file("x.gguf"), Some("v1")));
        assert_eq!(parse("a/b:Q8_0", Some("x.gguf"), Some("v1")).unwrap(), named);
        for (file, revision) in
            [(Some("../x.gguf"), None), (Some("x.bin"), None), (None, Some("a b"))]
        {
            assert!(parse("a/b", file, revision).is_err(), "{file:?} {revision:?}");
        }
        assert!(parse("a/b@v1", None, Some("v2")).is_err());
        assert!(parse("b", None, None).is_err());
    }
}
