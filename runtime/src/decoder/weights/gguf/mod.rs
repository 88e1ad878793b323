//! A bounded reader for GGUF, versions 2 and 3, little-endian.
//!
//! candle's own reader collects names in a map, so a tensor that appears twice vanishes unseen, and
//! it allocates what a length field asks for. This one reads from a slice, checks every count
//! against the bytes left before it allocates, and places every tensor inside the file. It does not
//! judge values: a NaN in the metadata is kept, and what needs the key refuses it.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod cursor;
mod flaw;
mod layout;
mod split;
mod value;

pub use flaw::{Fault, Flaw, Place};

use cursor::Cursor;

use super::Placed;
use super::metadata::{Metadata, Value};

pub(super) use split::open;

/// Bytes in a key or a tensor name.
const NAME_LIMIT: u64 = 64 << 10;
/// A key of no bytes, a type, and a value of one byte.
const SMALLEST_ENTRY: u64 = 13;
/// A name of no bytes, one dimension, a type and an offset.
const SMALLEST_TENSOR: u64 = 32;
/// Where data is aligned when the file does not say.
const DEFAULT_ALIGNMENT: u64 = 32;
/// The largest alignment that is taken seriously.
const ALIGNMENT_LIMIT: u64 = 64 << 10;

/// One GGUF file, read.
pub(super) struct Gguf {
    pub(super) metadata: Metadata,
    /// In file order, with positions from the start of the file.
    pub(super) tensors: Vec<Placed>,
}

/// Reads everything but the data.
pub(super) fn parse(bytes: &[u8]) -> Result<Gguf, Flaw> {
    let mut cursor = Cursor::new(bytes);
    let (tensors, entries) = header(&mut cursor).map_err(|fault| fault.at(Place::Header))?;
    let metadata = metadata(&mut cursor, entries)?;
    let alignment = alignment(&metadata)
        .ok_or_else(|| Fault::Alignment.at(Place::Key("general.alignment".to_owned())))?;
    let tensors = layout::tensors(&mut cursor, tensors, alignment)?;
    Ok(Gguf { metadata, tensors })
}

/// The counts of tensors and metadata entries.
fn header(cursor: &mut Cursor<'_>) -> Result<(usize, usize), Fault> {
    let found = cursor.take(cursor.left().min(4))?;
    if found != b"GGUF" {
        return Err(Fault::Magic { found: found.to_vec() });
    }
    match cursor.u32()? {
        2 | 3 => {}
        version if matches!(version.swap_bytes(), 1..=3) => return Err(Fault::BigEndian),
        version => return Err(Fault::Version(version)),
    }
    let (tensors, entries) = (cursor.u64()?, cursor.u64()?);
    Ok((cursor.room(tensors, SMALLEST_TENSOR)?, cursor.room(entries, SMALLEST_ENTRY)?))
}

fn metadata(cursor: &mut Cursor<'_>, entries: usize) -> Result<Metadata, Flaw> {
    let mut metadata = Metadata::new();
    for number in 0..entries {
        let key = cursor.text(NAME_LIMIT).map_err(|fault| fault.at(Place::Entry(number as u64)))?;
        let place = || Place::Key(key.to_owned());
        let value = value::value(cursor).map_err(|fault| fault.at(place()))?;
        if !metadata.insert(key, value) {
            return Err(Fault::Duplicate.at(place()));
        }
    }
    Ok(metadata)
}

/// The file's alignment; `None` if the file gives one that cannot be used.
fn alignment(metadata: &Metadata) -> Option<u64> {
    match metadata.value("general.alignment") {
        None => Some(DEFAULT_ALIGNMENT),
        Some(Value::Unsigned(n)) if n.is_power_of_two() && *n <= ALIGNMENT_LIMIT => Some(*n),
        Some(_) => None,
    }
}
