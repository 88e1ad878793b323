//! A folder in the Hugging Face layout: `config.json` and safetensors files.
//!
//! Which files count, first match wins, as in transformers: `model.safetensors`; the files named by
//! `model.safetensors.index.json`; every `*.safetensors` in the folder.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::mapped::Mapped;
use super::{Error, Weights, gather, shard};
use crate::filetype::{self, FileType};

const CONFIG_LIMIT: u64 = 1 << 20;
/// Bytes in the index: about 100 for each of 10^5 tensors, and room.
const INDEX_LIMIT: u64 = 16 << 20;
/// The extension of a shard.
const SUFFIX: &str = ".safetensors";

#[derive(Deserialize)]
struct Index {
    /// Tensor name to file name.
    weight_map: BTreeMap<String, String>,
}

pub(super) fn open(folder: &Path) -> Result<Weights, Error> {
    let file = folder.join("config.json");
    if !file.exists() && folder.join("adapter_config.json").exists() {
        return Err(Error::Adapter { path: folder.to_owned() });
    }
    let config = json(&file, CONFIG_LIMIT)?;
    let single = folder.join("model.safetensors");
    let index = folder.join("model.safetensors.index.json");
    let weights = if single.exists() {
        shards(folder, &[single])?
    } else if index.exists() {
        indexed(folder, &index)?
    } else {
        shards(folder, &listed(folder)?)?
    };
    Ok(Weights { config: Some(config), ..weights })
}

/// Opens the files an index names, and holds the index to what it says.
fn indexed(folder: &Path, path: &Path) -> Result<Weights, Error> {
    let index: Index = json(path, INDEX_LIMIT)?;
    for (tensor, file) in &index.weight_map {
        if !is_plain(file) {
            return Err(Error::ShardName {
                path: path.to_owned(),
                tensor: tensor.clone(),
                file: file.clone(),
            });
        }
    }
    let names: BTreeSet<&String> = index.weight_map.values().collect();
    let files: Vec<PathBuf> = names.into_iter().map(|name| folder.join(name)).collect();
    let weights = shards(folder, &files)?;
    for (tensor, file) in &index.weight_map {
        let held =
            weights.placed(tensor).and_then(|placed| weights.files.get(placed.file)).is_some_and(
                |shard| shard.path().file_name().is_some_and(|name| name == file.as_str()),
            );
        if !held {
            return Err(Error::Misplaced {
                path: path.to_owned(),
                tensor: tensor.clone(),
                file: file.clone(),
            });
        }
    }
    Ok(weights)
}

/// A file name and nothing else, on every system: no folder, no drive, no hidden file.
fn is_plain(file: &str) -> bool {
    let safe = |c: char| !matches!(c, '/' | '\\' | ':') && !c.is_control();
    file.ends_with(SUFFIX) && !file.starts_with('.') && file.chars().all(safe)
}

/// Every shard of the folder, in name order.
fn listed(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = |source| Error::Read { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        if entry.file_name().to_str().is_some_and(is_plain) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn shards(folder: &Path, paths: &[PathBuf]) -> Result<Weights, Error> {
    if paths.is_empty() {
        return Err(Error::NoShards { path: folder.to_owned() });
    }
    let files = paths
        .iter()
        .map(|path| {
            let file = Mapped::open(path)?;
            let tensors = shard::header(&file)?;
            Ok((file, tensors))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    gather(folder, files)
}

/// Reads a JSON file of at most `limit` bytes.
fn json<T: DeserializeOwned>(path: &Path, limit: u64) -> Result<T, Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let about = std::fs::metadata(path).map_err(read)?;
    if !about.is_file() {
        return Err(Error::NotAFile { path: path.to_owned() });
    }
    if about.len() > limit {
        return Err(Error::TooLarge { path: path.to_owned(), bytes: about.len(), limit });
    }
    let mut text = Vec::new();
    // The file may have grown since it was measured.
    let file = std::fs::File::open(path).map_err(read)?;
    file.take(limit).read_to_end(&mut text).map_err(read)?;
    let path = || path.to_owned();
    let text = filetype::text(text).map_err(|flaw| Error::NotText { path: path(), flaw })?;
    serde_json::from_str(&text).map_err(|source| match FileType::of(text.as_bytes()) {
        Some(found) => Error::FileType { path: path(), expected: "JSON", found },
        None => Error::Json { path: path(), source },
    })
}
