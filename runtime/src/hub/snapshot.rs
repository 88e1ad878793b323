//! What the ordinary Hugging Face cache already holds.
//!
//! Layout: `models--owner--repo/refs/<revision>` names a commit, `snapshots/<commit>/` holds its
//! files. Reading it needs no client and no network.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::choose::{Choice, INDEX, USUAL_QUANT, choose, has_quant};
use super::locator::{HubRef, Pick};

/// The branch that is meant where no revision is given.
pub(super) const MAIN: &str = "main";

/// How deep a snapshot's folders are looked into.
const DEPTH: usize = 4;

/// Files of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// The GGUF to open, or the snapshot's folder.
    pub path: PathBuf,
    /// The commit.
    pub commit: String,
}

/// How sure one can be that the hub would give the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// What was asked for is here by name.
    Exact,
    /// The best of what happens to be here.
    Best,
}

pub(super) fn repo_folder(cache: &Path, repo: &str) -> PathBuf {
    cache.join(format!("models--{}", repo.replace('/', "--")))
}

pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What the cache has for a reference, complete.
pub(super) fn find(cache: &Path, hub: &HubRef) -> Option<(Snapshot, Fit)> {
    let repo = repo_folder(cache, hub.repo());
    let revision = hub.revision().unwrap_or(MAIN);
    let commit = if is_commit(revision) {
        revision.to_owned()
    } else {
        let text = fs::read_to_string(repo.join("refs").join(revision)).ok()?;
        Some(text.trim().to_owned()).filter(|c| is_commit(c))?
    };
    let dir = repo.join("snapshots").join(&commit);
    let choice = choose(hub, &names_in(&dir)).ok()?;
    let fit = fit(hub, &choice);
    let path = open(&dir, &choice)?;
    Some((Snapshot { path, commit }, fit))
}

/// Every cached copy of one file, whatever the commit.
pub(super) fn copies(cache: &Path, repo: &str, file: &str) -> Vec<Snapshot> {
    let dir = repo_folder(cache, repo).join("snapshots");
    let mut found: Vec<_> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| Snapshot {
            path: e.path().join(file),
            commit: e.file_name().to_string_lossy().into_owned(),
        })
        .filter(|s| s.path.is_file())
        .collect();
    found.sort_unstable_by(|a, b| a.commit.cmp(&b.commit));
    found
}

/// The path to open for a choice, where everything it needs is in `dir`.
pub(super) fn open(dir: &Path, choice: &Choice) -> Option<PathBuf> {
    match choice {
        Choice::Gguf(files) => files.first().map(|f| dir.join(f)),
        Choice::Folder(_) => shards_present(dir).then(|| dir.to_path_buf()),
    }
}

fn fit(hub: &HubRef, choice: &Choice) -> Fit {
    let exact = match (hub.pick(), choice) {
        (Pick::File(_) | Pick::Quant(_), _) => true,
        (Pick::Default, Choice::Gguf(files)) => {
            files.first().is_some_and(|f| has_quant(f, USUAL_QUANT))
        }
        // Other programs cache only the files they need; with these it is a whole model.
        (Pick::Default, Choice::Folder(files)) => {
            ["tokenizer.json", "tokenizer_config.json"].iter().all(|n| files.iter().any(|f| f == n))
        }
    };
    if exact { Fit::Exact } else { Fit::Best }
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// A fetch that was interrupted leaves the index and some of the shards it names.
fn shards_present(dir: &Path) -> bool {
    match fs::read(dir.join(INDEX)) {
        Err(_) => true,
        Ok(bytes) => serde_json::from_slice::<Index>(&bytes)
            .is_ok_and(|index| index.weight_map.values().all(|shard| dir.join(shard).is_file())),
    }
}

/// The files below a folder, with `/` between the parts; links to nothing are left out.
fn names_in(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![(dir.to_path_buf(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let path = entry.path();
            if path.is_file() {
                names.push(name);
            } else if path.is_dir() && depth < DEPTH {
                folders.push((path, format!("{name}/"), depth + 1));
            }
        }
    }
    names
}
