//! One GGUF file, or a set split over several: `NAME-00001-of-0000N.gguf`.
//!
//! The first part holds the metadata of the whole set; every part lists its own tensors.

use std::path::Path;

use super::{Gguf, parse};
use crate::decoder::weights::mapped::Mapped;
use crate::decoder::weights::metadata::Metadata;
use crate::decoder::weights::{Error, Weights, gather};
use crate::filetype::FileType;
use crate::hub::SplitName;

/// Opens a GGUF file and, if it is the first part of a set, all other parts.
pub(in crate::decoder::weights) fn open(path: &Path) -> Result<Weights, Error> {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(SplitName::of);
    if let Some(name) = name.filter(|name| name.part != 1) {
        let first = path.with_file_name(name.sibling(1));
        return Err(Error::NotFirstPart { path: path.to_owned(), first });
    }
    let parts = name.map_or(1, |name| name.parts);
    let first = Mapped::open(path)?;
    let head = read(&first)?;
    agree(&first, &head.metadata, 1, parts)?;
    let metadata = head.metadata;
    let mut files = vec![(first, head.tensors)];
    for part in 2..=parts {
        let Some(name) = name else { break };
        let file = part_file(path, name, part)?;
        let gguf = read(&file)?;
        agree(&file, &gguf.metadata, part, parts)?;
        files.push((file, gguf.tensors));
    }
    let weights = gather(path, files)?;
    total(path, &metadata, weights.tensors.len())?;
    Ok(Weights { metadata: Some(metadata), ..weights })
}

fn read(file: &Mapped) -> Result<Gguf, Error> {
    let path = || file.path().to_owned();
    parse(file.bytes()).map_err(|flaw| match FileType::of(file.bytes()) {
        Some(found) => Error::FileType { path: path(), expected: "a GGUF file", found },
        None => Error::Gguf { path: path(), flaw },
    })
}

fn part_file(path: &Path, name: SplitName, part: u32) -> Result<Mapped, Error> {
    let sibling = path.with_file_name(name.sibling(part));
    Mapped::open(&sibling).map_err(|error| match error {
        Error::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Error::MissingPart { path: path.to_owned(), missing: sibling, parts: name.parts }
        }
        other => other,
    })
}

/// Compares what a part says about itself with its name. A part may say nothing.
fn agree(file: &Mapped, metadata: &Metadata, part: u32, parts: u32) -> Result<(), Error> {
    let expected = [
        // Writers give an unsplit file a count of 0, 1, or none.
        ("split.count", parts as usize),
        ("split.no", part as usize - 1),
    ];
    for (key, expected) in expected {
        let stored = integer(file.path(), metadata, key)?;
        let same = stored.is_none_or(|n| n == expected || (n == 0 && parts == 1));
        if !same {
            return Err(Error::Split {
                path: file.path().to_owned(),
                key,
                stored: stored.unwrap_or(0),
                expected,
            });
        }
    }
    Ok(())
}

/// Compares the number of tensors in the set with what its first part announces.
fn total(path: &Path, metadata: &Metadata, found: usize) -> Result<(), Error> {
    let key = "split.tensors.count";
    match integer(path, metadata, key)? {
        Some(stored) if stored != found => {
            Err(Error::Split { path: path.to_owned(), key, stored, expected: found })
        }
        _ => Ok(()),
    }
}

fn integer(path: &Path, metadata: &Metadata, key: &str) -> Result<Option<usize>, Error> {
    metadata.integer(key).map_err(|wrong| Error::Metadata { path: path.to_owned(), wrong })
}
