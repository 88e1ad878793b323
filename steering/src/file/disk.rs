//! Bounded reading and atomic writing.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The largest file that is opened.
pub const FILE_LIMIT: u64 = 256 << 20;

/// The size of a regular file of at most `limit` bytes.
pub(crate) fn measured(path: &Path, limit: u64) -> Result<u64> {
    let about = std::fs::metadata(path).map_err(failed(path))?;
    if !about.is_file() {
        return Err(Error::not_a_vector("it is not a regular file").within(path));
    }
    if about.len() > limit {
        return Err(Error::TooLarge { what: "file", bytes: about.len(), limit }.within(path));
    }
    Ok(about.len())
}

/// A whole file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    measured(path, limit)?;
    let file = File::open(path).map_err(failed(path))?;
    let mut bytes = Vec::new();
    // The file may have grown since it was measured.
    file.take(limit).read_to_end(&mut bytes).map_err(failed(path))?;
    Ok(bytes)
}

/// SHA-256 of a whole file, by which receipts name it.
pub fn file_sha256(path: &Path) -> Result<String> {
    Ok(super::sha256(&read(path, FILE_LIMIT)?))
}

/// The first bytes of a file.
pub(crate) fn read_head(path: &Path, bytes: u64) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let file = File::open(path).map_err(failed(path))?;
    file.take(bytes).read_to_end(&mut head).map_err(failed(path))?;
    Ok(head)
}

/// Writes a file whole or not at all: beside its place first, then renamed onto it.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".partial-{}-{number}", std::process::id()));
    let partial = PathBuf::from(name);
    let written =
        put(&partial, bytes).and_then(|()| std::fs::rename(&partial, path).map_err(failed(path)));
    if written.is_err() {
        // The first error is the one to tell; there may be no partial file at all.
        std::fs::remove_file(&partial).ok();
    }
    written
}

/// Finds out whether [`write()`] can write here, before the work whose result is to be written.
pub fn writable(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(failed(path)(std::io::ErrorKind::IsADirectory.into()));
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".partial-{}", std::process::id()));
    let partial = PathBuf::from(name);
    put(&partial, &[])?;
    std::fs::remove_file(&partial).map_err(failed(&partial))
}

fn put(partial: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create_new(partial).map_err(failed(partial))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed(partial))
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}
