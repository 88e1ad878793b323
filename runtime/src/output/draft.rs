//! A file beside its later place: nothing is under its name before it is whole.

use super::Problem;
use super::place::Place;
use std::fs::File;
use std::io::{ErrorKind, Result, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Names that are tried; an older one may be left by a program that was killed.
const NAMES: usize = 64;

/// A file that is being written; gone again unless it is kept.
#[derive(Debug)]
pub struct Draft {
    file: File,
    partial: PathBuf,
    target: PathBuf,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Partial,
    Kept,
}

impl Draft {
    /// Begins a file whose parts are written in any order.
    ///
    /// # Errors
    /// When it cannot be written, or is a pipe or a device, in which nothing has a place.
    pub fn create(path: &Path) -> std::result::Result<Draft, Problem> {
        match Place::of(path)? {
            Place::File(target) => Ok(Draft::beside(&target)?),
            Place::Through(_) | Place::Stdout => Err(Problem::NoSeeking),
        }
    }

    /// Begins a file beside a resolved path.
    pub(super) fn beside(target: &Path) -> Result<Draft> {
        let (file, partial) = beside(target)?;
        let draft = Draft { file, partial, target: target.to_owned(), state: State::Partial };
        if let Ok(about) = std::fs::metadata(target) {
            inherit(&draft.file, &about)?;
        }
        Ok(draft)
    }

    /// Writes bytes to their place.
    ///
    /// # Errors
    /// When the system cannot.
    pub fn put(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.write_all(bytes))
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// When the system cannot; there is no file then.
    pub fn keep(mut self) -> Result<()> {
        self.file.sync_all()?;
        match std::fs::rename(&self.partial, &self.target) {
            Ok(()) => self.state = State::Kept,
            // A file that is mounted by itself, as containers do, can be written to but not replaced.
            Err(e) if e.kind() == ErrorKind::ResourceBusy => {
                std::fs::copy(&self.partial, &self.target)?;
            }
            Err(e) => return Err(e),
        }
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.state == State::Partial {
            // There is no caller left to tell.
            std::fs::remove_file(&self.partial).ok();
        }
    }
}

/// Finds out whether a file can be written beside a resolved path.
pub(super) fn probe(target: &Path) -> Result<()> {
    Draft::beside(target).map(drop)
}

/// A new file in the folder of another. Its name does not grow with the other's, which may be as long as a name can be.
fn beside(target: &Path) -> Result<(File, PathBuf)> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mut found = Err(ErrorKind::AlreadyExists.into());
    for _ in 0..NAMES {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let partial = target.with_file_name(format!(".trimtab-{}-{number}", std::process::id()));
        match File::create_new(&partial) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => found = Err(e),
            other => return other.map(|file| (file, partial)),
        }
    }
    found
}

/// Gives a new file the owner and the permissions of the one it will replace.
fn inherit(file: &File, about: &std::fs::Metadata) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (about.uid(), about.gid()) {
            // Only root may give files away; a new file of any other user is that user's.
            fchown(file, Some(about.uid()), Some(about.gid())).ok();
        }
    }
    // Some file systems refuse every change of permissions.
    if file.metadata()?.permissions() == about.permissions() {
        return Ok(());
    }
    file.set_permissions(about.permissions())
}
