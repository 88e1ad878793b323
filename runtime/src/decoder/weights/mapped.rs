//! Files mapped into memory: the one place of the loader that needs `unsafe`.
//!
//! A mapped file costs no memory of its own and is shared between processes. The price: a program that
//! shortens the file while it is mapped makes later reads fail with a bus error, and one that
//! rewrites it changes the weights. Weight files are replaced by renaming, never in place, so this
//! is accepted, as every other loader does.
#![allow(unsafe_code)] // mapping a file is unsafe in memmap2, and nothing safe offers it

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::Error;

/// A regular file, mapped read-only for as long as this value lives.
pub(super) struct Mapped {
    path: PathBuf,
    map: Mmap,
}

impl Mapped {
    /// Maps a regular file. Pipes and devices are refused before they are opened: opening a pipe
    /// blocks, and a device has no length.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        if !std::fs::metadata(path).map_err(read)?.is_file() {
            return Err(Error::NotAFile { path: path.to_owned() });
        }
        let file = File::open(path).map_err(read)?;
        // SAFETY: the map is read-only and lives inside `self`, and every slice of it borrows
        // `self`. What remains is the hazard of the module page: the file must not be changed by
        // others while it is mapped.
        let map = unsafe { Mmap::map(&file) }.map_err(read)?;
        Ok(Self { path: path.to_owned(), map })
    }

    /// The file that was opened.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Tells the system that the pages read so far are not needed soon. They come back from the
    /// file when they are touched.
    pub(super) fn release(&self) {
        #[cfg(unix)]
        {
            // SAFETY: on a read-only map of a file `DontNeed` discards no data: the next read of a
            // page takes it from the file again.
            let advised = unsafe { self.map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
            // A hint: where the system refuses it, memory is freed later, and nothing is wrong.
            drop(advised);
        }
    }
}
