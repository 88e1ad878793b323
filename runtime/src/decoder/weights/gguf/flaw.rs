//! What can be wrong inside a GGUF file, and where.

use crate::decoder::weights::StoredType;

/// A broken rule of the GGUF format, with the place it was found at.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct Flaw {
    /// The part of the file.
    pub place: Place,
    /// The broken rule.
    pub fault: Fault,
}

/// A part of a GGUF file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// Magic, version and counts.
    Header,
    /// A metadata entry whose key is not read yet, by number from 0.
    Entry(u64),
    /// A metadata entry.
    Key(String),
    /// A tensor description whose name is not read yet, by number from 0.
    TensorEntry(u64),
    /// A tensor.
    Tensor(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header => write!(out, "header"),
            Self::Entry(number) => write!(out, "metadata entry {number}"),
            Self::Key(key) => write!(out, "metadata key {}", clipped(key)),
            Self::TensorEntry(number) => write!(out, "tensor entry {number}"),
            Self::Tensor(name) => write!(out, "tensor {}", clipped(name)),
        }
    }
}

/// A name from the file, short enough for a message and without control characters.
fn clipped(name: &str) -> String {
    const SHOWN: usize = 128;
    let mut text: String =
        name.chars().take(SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if name.chars().nth(SHOWN).is_some() {
        text.push('…');
    }
    text
}

/// A broken rule of the GGUF format.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Other first bytes.
    #[error("magic bytes are {found:02x?}, expected 47 47 55 46 (`GGUF`)")]
    Magic {
        /// The first bytes of the file, at most four.
        found: Vec<u8>,
    },
    /// A file written for a big-endian machine.
    #[error("byte order is big-endian, expected little-endian")]
    BigEndian,
    /// Version 1, or one that is not known.
    #[error("version is {0}, expected 2 or 3")]
    Version(u32),
    /// The file ends too early.
    #[error("{needed} bytes needed, but the file has {left} left")]
    Truncated {
        /// Bytes the next item takes.
        needed: u64,
        /// Bytes left in the file.
        left: u64,
    },
    /// A count that cannot be true.
    #[error("{count} items of at least {each} bytes cannot fit into the {left} bytes left")]
    Count {
        /// The number of items the file claims.
        count: u64,
        /// The smallest size of one item in bytes.
        each: u64,
        /// Bytes left in the file.
        left: u64,
    },
    /// A key, a name or an array above its limit.
    #[error("length is {length}, expected at most {limit}")]
    TooLong {
        /// The length, in bytes for text and in items for arrays.
        length: u64,
        /// The limit.
        limit: u64,
    },
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// A value type outside the format.
    #[error("value type is {0}, expected 0 to 12")]
    ValueType(u32),
    /// An array of arrays.
    #[error("array of arrays, expected an array of plain values")]
    NestedArray,
    /// A boolean byte other than 0 and 1.
    #[error("boolean is stored as {0}, expected 0 or 1")]
    Boolean(u8),
    /// An integer of an array that does not fit `i64`.
    #[error("array holds {0}, which does not fit 64 bits with a sign")]
    Integer(i128),
    /// A key or tensor name that was there before.
    #[error("name appears twice")]
    Duplicate,
    /// `general.alignment` is not a usable number.
    #[error("alignment is not a power of two of at most 65536")]
    Alignment,
    /// Too few or too many dimensions.
    #[error("number of dimensions is {0}, expected 1 to 4")]
    Rank(u32),
    /// A dimension of zero, or more values than can be counted.
    #[error("dimensions {0:?} have no countable product above zero")]
    Dimensions(Vec<u64>),
    /// Rows that are no whole number of blocks.
    #[error("rows of {row} values cannot be stored as {dtype}, expected a multiple of {block}")]
    Block {
        /// Values in a row (the first stored dimension).
        row: u64,
        /// The stored type.
        dtype: StoredType,
        /// Values per block of that type.
        block: u64,
    },
    /// An offset off the file's alignment.
    #[error("data offset is {offset}, expected a multiple of {alignment}")]
    Misaligned {
        /// The offset in the data section.
        offset: u64,
        /// The file's alignment.
        alignment: u64,
    },
    /// Data that reaches outside the file.
    #[error("{bytes} bytes at data offset {offset} reach outside the data section of {size} bytes")]
    Outside {
        /// The offset in the data section.
        offset: u64,
        /// The tensor's size in bytes.
        bytes: u64,
        /// The size of the data section in bytes.
        size: u64,
    },
    /// Data that is shared with another tensor.
    #[error("data overlaps that of tensor {other}")]
    Overlap {
        /// The tensor that begins inside this one.
        other: String,
    },
}

impl Fault {
    /// The flaw with its place.
    pub(super) fn at(self, place: Place) -> Flaw {
        Flaw { place, fault: self }
    }
}
