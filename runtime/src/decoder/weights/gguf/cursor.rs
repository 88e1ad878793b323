//! A bounded little-endian reader over a byte slice.
//!
//! Nothing is allocated before the bytes that justify it are known to be there.

use super::flaw::Fault;

/// A position in a byte slice.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.at as u64
    }

    /// Bytes not read yet.
    pub(super) fn left(&self) -> u64 {
        self.bytes.len().saturating_sub(self.at) as u64
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: u64) -> Result<&'a [u8], Fault> {
        let taken = usize::try_from(count)
            .ok()
            .and_then(|count| self.at.checked_add(count))
            .and_then(|end| Some((end, self.bytes.get(self.at..end)?)));
        let (end, slice) = taken.ok_or(Fault::Truncated { needed: count, left: self.left() })?;
        self.at = end;
        Ok(slice)
    }

    /// The next `N` bytes as an array, for `from_le_bytes`.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let left = self.left();
        self.take(N as u64)?
            .first_chunk::<N>()
            .copied()
            .ok_or(Fault::Truncated { needed: N as u64, left })
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_le_bytes)
    }

    /// A count of items of at least `each` bytes, refused unless that many bytes are left.
    pub(super) fn count(&mut self, each: u64) -> Result<usize, Fault> {
        let count = self.u64()?;
        self.room(count, each)
    }

    /// Refuses a count whose items cannot fit into the rest of the file.
    pub(super) fn room(&self, count: u64, each: u64) -> Result<usize, Fault> {
        let left = self.left();
        count
            .checked_mul(each)
            .filter(|needed| *needed <= left)
            .and_then(|_| usize::try_from(count).ok())
            .ok_or(Fault::Count { count, each, left })
    }

    /// A string of at most `limit` bytes.
    pub(super) fn text(&mut self, limit: u64) -> Result<&'a str, Fault> {
        let length = self.u64()?;
        if length > limit {
            return Err(Fault::TooLong { length, limit });
        }
        std::str::from_utf8(self.take(length)?).map_err(|_| Fault::NotUtf8)
    }
}
