//! Tensor descriptions, and where their data lies in the file.

use std::collections::HashSet;

use super::cursor::Cursor;
use super::flaw::{Fault, Flaw, Place};
use super::{NAME_LIMIT, SMALLEST_TENSOR};
use crate::decoder::weights::{Placed, StoredType, TensorEntry};

/// A tensor as described, before its data is placed.
struct Described {
    name: String,
    /// Row-major, outermost first: the file's order reversed.
    shape: Vec<usize>,
    dtype: StoredType,
    /// From the start of the data section.
    offset: u64,
    /// `None` for a type of unknown size: its data then reaches to the next tensor.
    bytes: Option<u64>,
}

/// The part of the file that holds tensor data.
struct Section {
    start: u64,
    size: u64,
    alignment: u64,
}

/// Reads `count` descriptions and places their data.
pub(super) fn tensors(
    cursor: &mut Cursor<'_>,
    count: usize,
    alignment: u64,
) -> Result<Vec<Placed>, Flaw> {
    cursor.room(count as u64, SMALLEST_TENSOR).map_err(|fault| fault.at(Place::Header))?;
    let mut list = Vec::with_capacity(count);
    for number in 0..count {
        list.push(describe(cursor, number)?);
    }
    distinct(&list)?;
    let (here, left) = (cursor.position(), cursor.left());
    // The padding before the data; a file may end without it when it has no tensors.
    let padding = here.next_multiple_of(alignment).saturating_sub(here).min(left);
    let section = Section {
        start: here.saturating_add(padding),
        size: left.saturating_sub(padding),
        alignment,
    };
    section.place(list)
}

fn describe(cursor: &mut Cursor<'_>, number: usize) -> Result<Described, Flaw> {
    let name =
        cursor.text(NAME_LIMIT).map_err(|fault| fault.at(Place::TensorEntry(number as u64)))?;
    body(cursor, name).map_err(|fault| fault.at(Place::Tensor(name.to_owned())))
}

fn body(cursor: &mut Cursor<'_>, name: &str) -> Result<Described, Fault> {
    let rank = cursor.u32()?;
    if !(1..=4).contains(&rank) {
        return Err(Fault::Rank(rank));
    }
    let mut dims = Vec::with_capacity(4);
    for _ in 0..rank {
        dims.push(cursor.u64()?);
    }
    let dtype = StoredType::from_ggml(cursor.u32()?);
    let offset = cursor.u64()?;
    let bytes = stored_bytes(&dims, dtype)?;
    let shape = dims
        .iter()
        .rev()
        .map(|dim| usize::try_from(*dim).ok())
        .collect::<Option<Vec<_>>>()
        .ok_or(Fault::Dimensions(dims))?;
    Ok(Described { name: name.to_owned(), shape, dtype, offset, bytes })
}

/// The size of the data; `None` for a type of unknown size.
fn stored_bytes(dims: &[u64], dtype: StoredType) -> Result<Option<u64>, Fault> {
    let uncountable = || Fault::Dimensions(dims.to_vec());
    let values = dims
        .iter()
        .try_fold(1u64, |product, dim| product.checked_mul(*dim))
        .filter(|product| *product > 0)
        .ok_or_else(uncountable)?;
    let Some(block) = dtype.block() else {
        return Ok(None);
    };
    let row = dims.first().copied().unwrap_or(0);
    if !row.is_multiple_of(block.values) {
        return Err(Fault::Block { row, dtype, block: block.values });
    }
    (values / block.values).checked_mul(block.bytes).map(Some).ok_or_else(uncountable)
}

fn distinct(list: &[Described]) -> Result<(), Flaw> {
    let mut seen = HashSet::with_capacity(list.len());
    match list.iter().find(|tensor| !seen.insert(tensor.name.as_str())) {
        None => Ok(()),
        Some(tensor) => Err(Fault::Duplicate.at(Place::Tensor(tensor.name.clone()))),
    }
}

impl Section {
    /// Checks every tensor against the section and its neighbour.
    fn place(&self, mut list: Vec<Described>) -> Result<Vec<Placed>, Flaw> {
        list.sort_by_key(|tensor| tensor.offset);
        let mut placed = Vec::with_capacity(list.len());
        let mut rest = list.into_iter().peekable();
        while let Some(tensor) = rest.next() {
            let next = rest.peek();
            let bytes = self
                .extent(&tensor, next)
                .map_err(|fault| fault.at(Place::Tensor(tensor.name.clone())))?;
            placed.push(Placed {
                entry: TensorEntry {
                    name: tensor.name,
                    shape: tensor.shape,
                    dtype: tensor.dtype,
                    bytes,
                },
                file: 0,
                // Both ends lie inside a slice, so the sum fits.
                start: self.start.saturating_add(tensor.offset) as usize,
            });
        }
        Ok(placed)
    }

    /// The number of bytes of a tensor, all of them inside the section and its own.
    fn extent(&self, tensor: &Described, next: Option<&Described>) -> Result<usize, Fault> {
        let offset = tensor.offset;
        if !offset.is_multiple_of(self.alignment) {
            return Err(Fault::Misaligned { offset, alignment: self.alignment });
        }
        let limit = next.map_or(self.size, |next| next.offset.min(self.size));
        let bytes = tensor.bytes.unwrap_or_else(|| limit.saturating_sub(offset));
        let end = offset.checked_add(bytes).filter(|end| *end <= self.size);
        let Some(end) = end else {
            return Err(Fault::Outside { offset, bytes, size: self.size });
        };
        match next {
            Some(next) if end > next.offset => Err(Fault::Overlap { other: next.name.clone() }),
            _ => usize::try_from(bytes).map_err(|_| Fault::Outside {
                offset,
                bytes,
                size: self.size,
            }),
        }
    }
}
