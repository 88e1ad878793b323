//! Bounded reading, and writing with this crate's errors.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use trimtab_runtime::output;

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
    // The file may have grown since it was measured.
    read_stream(path, limit)
}

/// All of a file or a pipe, at most `limit` bytes.
pub(crate) fn read_stream(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(failed(path))?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed(path))?;
    let long = bytes.len() as u64;
    if long > limit {
        return Err(Error::TooLarge { what: "file", bytes: long, limit }.within(path));
    }
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

/// Writes a file whole or not at all, as [`output::write`] does.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    output::write(path, bytes).map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}
