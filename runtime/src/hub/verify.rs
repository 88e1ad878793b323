//! Whether a file has the pinned bytes.
//!
//! A fetched file is hashed whole. Afterwards a small stamp beside it remembers which size and
//! modification time were hashed, so that opening a model does not read it twice.

use std::fs::{self, File, Metadata};
use std::io::{Read, Write};
use std::path::Path;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::error::Error;
use super::progress::{Progress, Stage};

const CHUNK_BYTES: usize = 1 << 20;

/// The bytes a file must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pin {
    pub bytes: u64,
    pub sha256: &'static str,
}

impl Pin {
    pub(super) fn check_size(self, what: &str, found: u64) -> Result<(), Error> {
        if found == self.bytes {
            return Ok(());
        }
        Err(Error::WrongSize { what: what.to_owned(), expected: self.bytes, found })
    }

    pub(super) fn check_hash(self, what: &str, found: &str) -> Result<(), Error> {
        if found.eq_ignore_ascii_case(self.sha256) {
            return Ok(());
        }
        Err(Error::WrongHash {
            what: what.to_owned(),
            expected: self.sha256.to_owned(),
            found: found.to_owned(),
        })
    }

    /// Checks the file at `path`, reading it only where `stamp` does not vouch for it.
    pub(super) fn check_file(
        self,
        path: &Path,
        stamp: &Path,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let meta = fs::metadata(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::Absent,
            _ => Error::io("reading", path)(e),
        })?;
        let what = path.display().to_string();
        self.check_size(&what, meta.len())?;
        if fs::read_to_string(stamp).is_ok_and(|s| Some(s) == self.stamp_text(path, &meta)) {
            return Ok(());
        }
        let mut stage = Stage::begin(progress, "verifying", Some(self.bytes));
        let mut file = File::open(path).map_err(Error::io("opening", path))?;
        let (_, hash) = copy_hashed(&mut file, &mut std::io::sink(), &mut stage)
            .map_err(Error::io("reading", path))?;
        self.check_hash(&what, &hash)?;
        self.write_stamp(path, stamp);
        Ok(())
    }

    /// Remembers that the file at `path` was found good.
    pub(super) fn write_stamp(self, path: &Path, stamp: &Path) {
        let text = fs::metadata(path).ok().and_then(|meta| self.stamp_text(path, &meta));
        let Some(text) = text else { return };
        if let Some(folder) = stamp.parent() {
            // A cache that cannot be written to costs another reading next time, nothing else.
            let _ = fs::create_dir_all(folder);
        }
        // As above; a half-written stamp does not match and is written again.
        let _ = fs::write(stamp, text);
    }

    /// `None` where the system keeps no modification time: such a file is hashed every time.
    fn stamp_text(self, path: &Path, meta: &Metadata) -> Option<String> {
        let modified = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        Some(format!("{} {} {modified} {}\n", self.sha256, meta.len(), path.display()))
    }
}

/// Copies everything, and returns how many bytes there were and their sha256.
pub(super) fn copy_hashed(
    from: &mut dyn Read,
    to: &mut dyn Write,
    stage: &mut Stage<'_>,
) -> std::io::Result<(u64, String)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut total = 0;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let chunk = buffer.get(..count).unwrap_or_default();
        hasher.update(chunk);
        to.write_all(chunk)?;
        total += count as u64;
        stage.advance(count as u64);
    }
    let digits = hasher.finalize().iter().map(|b| format!("{b:02x}")).collect();
    Ok((total, digits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::progress::Silent;

    #[test]
    fn the_hash_is_sha256() {
        // FIPS 180-2, appendix B.1.
        let mut stage = Stage::begin(&Silent, "test", None);
        let (bytes, hash) =
            copy_hashed(&mut &b"abc"[..], &mut std::io::sink(), &mut stage).unwrap();
        assert_eq!(bytes, 3);
        assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
