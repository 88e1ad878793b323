//! One safetensors file: its header, checked.
//!
//! The header is taken apart here and not by `SafeTensors::deserialize`, because that adds an
//! unchecked sum (a debug build panics on a hostile offset) and lets a later entry replace an earlier
//! one of the same name. The checks of types, shapes and offsets are the crate's.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::mapped::Mapped;
use super::{Error, Placed, StoredType, TensorEntry};
use crate::filetype::FileType;

/// Bytes in the header of one safetensors file; the format's own limit.
const HEADER_LIMIT: u64 = 100_000_000;
/// Bytes of the header's length field.
const LENGTH_BYTES: usize = 8;

/// Reads the header of one safetensors file.
///
/// What kind of file it is instead is asked only after it has failed: a header may begin with any length.
pub(super) fn header(file: &Mapped) -> Result<Vec<Placed>, Error> {
    read(file).map_err(|error| match FileType::of(file.bytes()) {
        Some(found) => {
            let path = file.path().to_owned();
            Error::FileType { path, expected: "a safetensors file", found }
        }
        None => error,
    })
}

fn read(file: &Mapped) -> Result<Vec<Placed>, Error> {
    let (json, data) = halves(file)?;
    let names: Names = serde_json::from_slice(json)
        .map_err(|source| Error::Json { path: file.path().to_owned(), source })?;
    let mut tensors: Vec<(String, TensorInfo)> = names.0.into_iter().collect();
    tensors.sort_by_key(|(_, tensor)| tensor.data_offsets);
    let metadata = Metadata::new(None, tensors)
        .map_err(|source| Error::Safetensors { path: file.path().to_owned(), source })?;
    let start = LENGTH_BYTES + json.len();
    if metadata.data_len() != data.len() {
        return Err(Error::Length {
            path: file.path().to_owned(),
            found: file.bytes().len() as u64,
            expected: (start as u64).saturating_add(metadata.data_len() as u64),
        });
    }
    let placed = |(name, tensor): (String, &TensorInfo)| {
        let (from, to) = tensor.data_offsets;
        Placed {
            entry: TensorEntry {
                name,
                shape: tensor.shape.clone(),
                dtype: StoredType::from_safetensors(tensor.dtype),
                bytes: to - from,
            },
            file: 0,
            start: start + from,
        }
    };
    Ok(metadata.tensors().into_iter().map(placed).collect())
}

/// The header's JSON and the data behind it.
fn halves(file: &Mapped) -> Result<(&[u8], &[u8]), Error> {
    let path = || file.path().to_owned();
    let found = file.bytes().len() as u64;
    let short = |expected| Error::Length { path: path(), found, expected };
    let (length, rest) = file
        .bytes()
        .split_first_chunk::<LENGTH_BYTES>()
        .ok_or_else(|| short(LENGTH_BYTES as u64))?;
    let bytes = u64::from_le_bytes(*length);
    if bytes > HEADER_LIMIT {
        return Err(Error::TooLarge { path: path(), bytes, limit: HEADER_LIMIT });
    }
    // Below the limit, so it fits `usize` and the sum below cannot overflow.
    rest.split_at_checked(bytes as usize).ok_or_else(|| short(bytes + LENGTH_BYTES as u64))
}

/// The tensors of a header by name, each name once.
struct Names(BTreeMap<String, TensorInfo>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Once)
    }
}

/// Reads an object and refuses a key that comes twice.
struct Once;

impl<'de> Visitor<'de> for Once {
    type Value = Names;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object of tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
        let mut tensors = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            match tensors.entry(name) {
                Entry::Vacant(slot) => slot.insert(map.next_value()?),
                Entry::Occupied(slot) => {
                    let twice = format!("tensor {} appears twice", slot.key());
                    return Err(A::Error::custom(twice));
                }
            };
        }
        Ok(Names(tensors))
    }
}
