//! Memory for weights, in the largest pages the system gives.
//!
//! A decode step reads every weight once. With pages of 4 KiB most of that time goes into finding where the next page
//! lies; in huge pages the same loop reads nearly twice as fast. Matrices are smaller than a huge page, so they share
//! chunks.
#![allow(unsafe_code)] // owned parts of a shared mapping; each block says why it is sound

use memmap2::MmapMut;
use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Bytes of a chunk: many of the 2 MiB pages that most systems have.
const CHUNK: usize = 32 << 20;
/// Where parts begin: on a cache line.
const ALIGN: usize = 64;

/// Values for which any bytes are valid.
///
/// # Safety
/// A type may implement this only if that is true.
pub(super) unsafe trait Plain: Copy {}

// SAFETY: any bytes are integers.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
// SAFETY: as above.
unsafe impl<const N: usize> Plain for [u16; N] {}

/// Hands out parts of mappings. What is handed out stays alive without the arena.
#[derive(Default)]
pub(crate) struct Arena {
    chunk: Option<Arc<Chunk>>,
    /// First byte of the chunk that is nobody's.
    next: usize,
}

/// A mapping of the process's own, read and written only through its parts.
struct Chunk {
    start: *mut u8,
    len: usize,
    /// Keeps the mapping.
    _map: MmapMut,
}

// SAFETY: a chunk's bytes are reached only through parts, which do not overlap and borrow like a `Vec`.
unsafe impl Send for Chunk {}
// SAFETY: as above.
unsafe impl Sync for Chunk {}

impl Arena {
    /// `count` values, all zero bytes.
    pub(super) fn take<T: Plain>(&mut self, count: usize) -> io::Result<Part<T>> {
        const { assert!(align_of::<T>() <= ALIGN, "parts begin at multiples of ALIGN") };
        let bytes = count.checked_mul(size_of::<T>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let bytes = bytes.checked_next_multiple_of(ALIGN).ok_or(io::ErrorKind::OutOfMemory)?;
        let chunk = match &self.chunk {
            Some(chunk) if chunk.len - self.next >= bytes => chunk.clone(),
            _ => {
                // Made first: after a failure the old chunk's parts must stay theirs.
                let new = Arc::new(Chunk::of(bytes.max(CHUNK))?);
                self.next = 0;
                self.chunk.insert(new).clone()
            }
        };
        let from = self.next;
        self.next += bytes;
        Ok(Part { chunk, from, count, of: PhantomData })
    }
}

impl Chunk {
    fn of(len: usize) -> io::Result<Chunk> {
        let mut map = MmapMut::map_anon(len)?;
        // A hint: where the system has no huge pages, small ones do.
        #[cfg(target_os = "linux")]
        drop(map.advise(memmap2::Advice::HugePage));
        Ok(Chunk { start: map.as_mut_ptr(), len, _map: map })
    }
}

/// Some values in an arena, owned like a boxed slice.
pub(super) struct Part<T> {
    chunk: Arc<Chunk>,
    from: usize,
    count: usize,
    of: PhantomData<T>,
}

impl<T: Plain> Deref for Part<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `take` gave these bytes of a live mapping to this part alone, at a multiple of ALIGN from a page's
        // start, and any bytes are a valid T.
        unsafe { std::slice::from_raw_parts(self.chunk.start.add(self.from).cast(), self.count) }
    }
}

impl<T: Plain> DerefMut for Part<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above; the part is borrowed mutably, so nobody else reads it.
        unsafe {
            std::slice::from_raw_parts_mut(self.chunk.start.add(self.from).cast(), self.count)
        }
    }
}

impl<T> std::fmt::Debug for Part<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Part({} values)", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_zeroed_aligned_disjoint_and_outlive_their_arena() {
        let mut arena = Arena::default();
        let mut parts: Vec<Part<u8>> = [1, 64, 100, CHUNK, 3, 0, CHUNK - 64, 65]
            .map(|n| arena.take(n).unwrap())
            .into_iter()
            .collect();
        drop(arena);
        for (i, part) in parts.iter_mut().enumerate() {
            assert!((part.as_ptr() as usize).is_multiple_of(ALIGN));
            assert!(part.iter().all(|b| *b == 0), "part {i}");
            part.fill(i as u8 + 1);
        }
        for (i, part) in parts.iter().enumerate() {
            assert!(part.iter().all(|b| *b == i as u8 + 1), "part {i}");
        }
    }

    #[test]
    fn more_than_can_be_had_is_an_error() {
        assert!(Arena::default().take::<[u16; 16]>(usize::MAX / 16).is_err());
        assert!(Arena::default().take::<u8>(usize::MAX - 3).is_err());
        // What was handed out before stays its owner's.
        let mut arena = Arena::default();
        let mut first = arena.take::<u8>(64).unwrap();
        assert!(arena.take::<[u16; 16]>(1 << 57).is_err());
        let second = arena.take::<u8>(64).unwrap();
        first.fill(1);
        assert!(second.iter().all(|b| *b == 0));
    }
}
