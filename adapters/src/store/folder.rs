//! The state folder on disk: who may read it, and who holds it.
//!
//! The lock is on a file of its own. SQLite keeps record locks on the state file that a process loses when it closes
//! any handle of that file, so nothing else here may hold one while the database is open. The system drops our lock
//! with its process, so a killed server leaves no folder locked.

use crate::{Error, Result};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

const FILE: &str = "trimtab.sqlite3";
const LOCK: &str = "trimtab.lock";
/// What every database of SQLite begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// A state folder that this process holds until the value is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    // Held, not read: closing it gives the lock back.
    _lock: File,
}

impl Folder {
    /// Creates the folder and the empty state file where they are missing, and takes the lock.
    pub(super) fn take(path: &Path) -> Result<Folder> {
        private_folder().recursive(true).create(path).map_err(Error::io(path))?;
        let lock_path = path.join(LOCK);
        let lock = private_file().open(&lock_path).map_err(Error::io(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse { folder: path.into() }),
            Err(TryLockError::Error(source)) => {
                return Err(Error::Io { path: lock_path, source });
            }
        }
        let folder = Folder { path: path.into(), _lock: lock };
        expect_database(&folder.file())?;
        close_to_others(&folder.file())?;
        Ok(folder)
    }

    pub(super) fn file(&self) -> PathBuf {
        self.path.join(FILE)
    }
}

/// Creates an empty file, which SQLite takes for a new database, or looks at the one that is there.
fn expect_database(path: &Path) -> Result<()> {
    let mut start = Vec::new();
    let file = private_file().open(path).map_err(Error::io(path))?;
    let mut file = file.take(MAGIC.len() as u64);
    match file.read_to_end(&mut start) {
        Ok(_) if start.is_empty() || start == MAGIC => Ok(()),
        Ok(_) => Err(Error::NotADatabase { path: path.into() }),
        Err(source) if source.kind() == ErrorKind::IsADirectory => {
            Err(Error::NotADatabase { path: path.into() })
        }
        Err(source) => Err(Error::Io { path: path.into(), source }),
    }
}

#[cfg(unix)]
fn private_folder() -> DirBuilder {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

#[cfg(not(unix))]
fn private_folder() -> DirBuilder {
    DirBuilder::new()
}

/// Reads and writes, creates, never shortens.
#[cfg(unix)]
fn private_file() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options
}

/// Reads and writes, creates, never shortens.
#[cfg(not(unix))]
fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options
}

/// Closes a file that was copied here with an open mode. SQLite gives its log the mode of the file.
#[cfg(unix)]
fn close_to_others(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, private).map_err(Error::io(path))
}

#[cfg(not(unix))]
fn close_to_others(_path: &Path) -> Result<()> {
    Ok(())
}
