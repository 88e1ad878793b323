//! One entry's folder in our cache: `<models>/<sha256>/`.
//!
//! The folder holds the file, its stamp, a lock and whatever a fetch is working on. A file appears
//! under its own name only by a rename after it was verified, so a reader never sees half of one
//! and an interrupt leaves nothing but a working folder, which a later fetch sweeps away.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::catalogue::Entry;
use super::error::Error;
use super::progress::{Progress, Stage};
use super::verify::Pin;

/// Marks what a fetch is working on.
const WORKING: &str = ".tmp-";
/// Older leftovers belong to no running fetch.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long to wait for another process before fetching beside it, which is wasteful and safe.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
const POLL: Duration = Duration::from_millis(100);

/// The place of one entry in our cache.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    dir: PathBuf,
    file_name: &'static str,
    pub pin: Pin,
}

impl Slot {
    pub(super) fn new(models: &Path, entry: &Entry) -> Self {
        let pin = Pin { bytes: entry.bytes, sha256: entry.sha256 };
        Self { dir: models.join(entry.sha256), file_name: entry.file_name, pin }
    }

    /// Where the file lies, or will lie.
    pub(super) fn path(&self) -> PathBuf {
        self.dir.join(self.file_name)
    }

    /// The cached file, verified.
    pub(super) fn lookup(&self, progress: &dyn Progress) -> Result<PathBuf, Error> {
        let path = self.path();
        self.pin.check_file(&path, &self.stamp(self.file_name), progress)?;
        Ok(path)
    }

    /// A file outside our cache, verified; its stamp is kept here, so that the hub's cache holds
    /// nothing of ours.
    pub(super) fn vouch(&self, path: &Path, progress: &dyn Progress) -> Result<(), Error> {
        self.pin.check_file(path, &self.stamp("hub"), progress)
    }

    /// Moves a verified file to its place.
    pub(super) fn publish(&self, file: &Path) -> Result<PathBuf, Error> {
        let path = self.path();
        fs::rename(file, &path).map_err(Error::io("renaming to", &path))?;
        self.pin.write_stamp(&path, &self.stamp(self.file_name));
        Ok(path)
    }

    /// A folder to work in, removed when dropped.
    pub(super) fn scratch(&self) -> Result<Scratch, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = self.dir.join(format!("{WORKING}{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).map_err(Error::io("creating", &dir))?;
        Ok(Scratch { dir })
    }

    /// Removes what interrupted fetches left behind.
    pub(super) fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return;
        };
        for entry in entries.flatten() {
            let ours = entry.file_name().to_string_lossy().starts_with(WORKING);
            if ours && entry.metadata().is_ok_and(|m| m.modified().is_ok_and(is_stale)) {
                // Another process may be sweeping too; what stays is tried again next time.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Waits until no other process fetches this entry, as [`lock`] does.
    pub(super) fn lock(&self, progress: &dyn Progress) -> Result<Option<File>, Error> {
        lock(&self.dir.join(".lock"), progress)
    }

    fn stamp(&self, of: &str) -> PathBuf {
        self.dir.join(format!("{of}.stamp"))
    }
}

/// Waits until no other process holds the lock of this file. `None` where the file system has no locks or patience ran
/// out: two fetches at once are safe, only wasteful.
pub(super) fn lock(path: &Path, progress: &dyn Progress) -> Result<Option<File>, Error> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(Error::io("creating", folder))?;
    }
    let file = File::create(path).map_err(Error::io("creating", path))?;
    let mut stage = None;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if waited < PATIENCE => {}
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => return Ok(None),
        }
        stage.get_or_insert_with(|| Stage::begin(progress, "waiting for another process", None));
        std::thread::sleep(POLL);
        waited += POLL;
    }
}

fn is_stale(modified: SystemTime) -> bool {
    modified.elapsed().is_ok_and(|age| age > STALE)
}

/// A working folder beside its target, so that the last step is a rename on one file system.
#[derive(Debug)]
pub(super) struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    /// A folder inside.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf, Error> {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir).map_err(Error::io("creating", &dir))?;
        Ok(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is swept by a later fetch.
        let _ = fs::remove_dir_all(&self.dir);
    }
}
