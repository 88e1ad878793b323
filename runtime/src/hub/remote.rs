//! Files from the Hugging Face hub.
//!
//! The cache is looked at first: what is there by name is used without a request, so a model once
//! fetched opens on a plane. A branch that has moved is therefore not followed by itself; a
//! revision asks for a certain commit. Otherwise the hub is asked for the commit and its listing,
//! and files come one by one, each verified against the size the listing announced.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};
use hf_hub::repository::{RepoTreeEntry, RepoTypeModel};
use hf_hub::{HFClientBuilder, HFError, HFRepositorySync};

use super::choose::choose;
use super::dirs::Reach;
use super::error::Error;
use super::locator::HubRef;
use super::progress::{Progress, Stage};
use super::snapshot::{self, Fit, MAIN, Snapshot};
use super::verify::Pin;

const POLL: Duration = Duration::from_millis(100);
/// Retries after a failed connection: a few seconds in all.
const RETRIES: usize = 3;
/// The client waits ten seconds for another process that fetches the same file; this often we ask
/// again, which makes an hour.
const LOCK_ROUNDS: usize = 360;

/// The hub as one resolver sees it.
pub(super) struct Remote<'a> {
    pub cache: &'a Path,
    pub endpoint: Option<&'a str>,
    pub reach: Reach,
    pub progress: &'a dyn Progress,
}

struct Listed {
    name: String,
    bytes: u64,
    sha256: Option<String>,
}

impl Remote<'_> {
    /// The files of a reference, from the cache or the hub.
    pub(super) fn resolve(&self, hub: &HubRef) -> Result<Snapshot, Error> {
        let cached = snapshot::find(self.cache, hub);
        match (cached, self.reach) {
            (Some((snapshot, Fit::Exact)), _) | (Some((snapshot, Fit::Best)), Reach::Offline) => {
                Ok(snapshot)
            }
            (None, Reach::Offline) => Err(Error::NotCached { what: described(hub) }),
            (best, Reach::Online) => match (self.fetch(hub, None), best) {
                (Err(Error::Hub { source, .. }), Some((snapshot, _))) if is_outage(&source) => {
                    Ok(snapshot)
                }
                (fetched, _) => fetched,
            },
        }
    }

    /// The files of a reference from the hub. A pinned file whose listing tells of other bytes is
    /// refused before it is downloaded.
    pub(super) fn fetch(&self, hub: &HubRef, pin: Option<Pin>) -> Result<Snapshot, Error> {
        let failed = || Error::hub(hub.repo());
        let repo = self.repository(hub)?;
        let commit = self.commit(&repo, hub)?;
        let entries = repo.list_tree().revision(&commit).recursive(true).send().map_err(failed())?;
        let listed: Vec<Listed> = entries.into_iter().filter_map(Listed::from_tree).collect();
        let names: Vec<String> = listed.iter().map(|l| l.name.clone()).collect();
        let choice = choose(hub, &names)?;
        for name in choice.files() {
            let Some(file) = listed.iter().find(|l| l.name == *name) else {
                continue;
            };
            if let Some(pin) = pin {
                file.check(pin)?;
            }
            self.download(&repo, file, &commit)?;
        }
        let dir = snapshot::repo_folder(self.cache, hub.repo()).join("snapshots").join(&commit);
        self.remember(hub, &commit)?;
        let path = snapshot::open(&dir, &choice)
            .ok_or_else(|| Error::NotCached { what: described(hub) })?;
        Ok(Snapshot { path, commit })
    }

    fn repository(&self, hub: &HubRef) -> Result<HFRepositorySync<RepoTypeModel>, Error> {
        let mut builder = HFClientBuilder::new().cache_dir(self.cache).retry_max_attempts(RETRIES);
        if let Some(endpoint) = self.endpoint {
            builder = builder.endpoint(endpoint);
        }
        let client = builder.build_sync().map_err(Error::hub(hub.repo()))?;
        let (owner, name) = hf_hub::split_id(hub.repo());
        Ok(client.model(owner, name))
    }

    /// All files are taken from one commit, even if the branch moves meanwhile.
    fn commit(
        &self,
        repo: &HFRepositorySync<RepoTypeModel>,
        hub: &HubRef,
    ) -> Result<String, Error> {
        let revision = hub.revision().unwrap_or(MAIN);
        if snapshot::is_commit(revision) {
            return Ok(revision.to_owned());
        }
        let info = repo.info().revision(revision).send().map_err(Error::hub(hub.repo()))?;
        // The commit becomes a folder's name, so nothing else is taken for one.
        info.sha
            .filter(|sha| snapshot::is_commit(sha))
            .ok_or_else(|| Error::NoCommit { repo: hub.repo().to_owned() })
    }

    fn download(
        &self,
        repo: &HFRepositorySync<RepoTypeModel>,
        file: &Listed,
        commit: &str,
    ) -> Result<(), Error> {
        for _ in 0..LOCK_ROUNDS {
            match self.download_once(repo, file, commit) {
                Err(HFError::CacheLockTimeout { .. }) => {}
                Err(error) => return Err(Error::hub(&repo.repo_path())(error)),
                Ok(path) => return keep_if_whole(&path, file),
            }
        }
        let path = self.cache.join(".locks");
        Err(Error::hub(&repo.repo_path())(HFError::CacheLockTimeout { path }))
    }

    /// The client reports from threads of its own and the sink belongs to this one, so the
    /// transfer runs beside and this thread looks at a counter.
    fn download_once(
        &self,
        repo: &HFRepositorySync<RepoTypeModel>,
        file: &Listed,
        commit: &str,
    ) -> Result<PathBuf, HFError> {
        let mut stage =
            Stage::begin(self.progress, &format!("fetching {}", file.name), Some(file.bytes));
        let done = Arc::new(AtomicU64::new(0));
        let counter = Counter(Arc::clone(&done));
        let (sender, receiver) = channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let sent = repo
                    .download_file()
                    .filename(&file.name)
                    .revision(commit)
                    .progress(counter)
                    .send();
                // The receiver outlives this thread, unless the caller is unwinding.
                let _ = sender.send(sent);
            });
            loop {
                let answer = receiver.recv_timeout(POLL);
                stage.reach(done.load(Ordering::Relaxed).min(file.bytes));
                match answer {
                    Ok(result) => return result,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        return Err(HFError::Other("the transfer stopped".to_owned()));
                    }
                }
            }
        })
    }

    /// Writes which commit a branch stood for, where the ordinary cache keeps it: files were asked
    /// for by commit, and the client notes a branch only when asked by branch.
    fn remember(&self, hub: &HubRef, commit: &str) -> Result<(), Error> {
        let revision = hub.revision().unwrap_or(MAIN);
        if snapshot::is_commit(revision) {
            return Ok(());
        }
        let path = snapshot::repo_folder(self.cache, hub.repo()).join("refs").join(revision);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::io("creating", folder))?;
        }
        fs::write(&path, commit).map_err(Error::io("writing", &path))
    }
}

impl Listed {
    fn from_tree(entry: RepoTreeEntry) -> Option<Self> {
        match entry {
            RepoTreeEntry::File { path, size, lfs, .. } => {
                Some(Self { name: path, bytes: size, sha256: lfs.and_then(|l| l.sha256) })
            }
            RepoTreeEntry::Directory { .. } => None,
        }
    }

    fn check(&self, pin: Pin) -> Result<(), Error> {
        let what = format!("{} as listed", self.name);
        pin.check_size(&what, self.bytes)?;
        self.sha256.as_deref().map_or(Ok(()), |found| pin.check_hash(&what, found))
    }
}

/// hf-hub 1.0.0 writes the body of a failed GET into the cache without looking at its status, so
/// the size is compared with the listing and a wrong file does not stay.
fn keep_if_whole(path: &Path, file: &Listed) -> Result<(), Error> {
    let found = fs::metadata(path).map_err(Error::io("reading", path))?.len();
    if found == file.bytes {
        return Ok(());
    }
    if let Ok(blob) = fs::canonicalize(path) {
        fs::remove_file(&blob).map_err(Error::io("removing", &blob))?;
    }
    // Where links are copies this is the blob's own path and already gone.
    let _ = fs::remove_file(path);
    Err(Error::WrongSize { what: file.name.clone(), expected: file.bytes, found })
}

struct Counter(Arc<AtomicU64>);

impl ProgressHandler for Counter {
    fn on_progress(&self, event: &ProgressEvent) {
        let ProgressEvent::Download(event) = event else {
            return;
        };
        let bytes = match event {
            DownloadEvent::Progress { files } => {
                files.iter().map(|f| f.bytes_completed).max().unwrap_or(0)
            }
            DownloadEvent::AggregateProgress { bytes_completed, .. } => *bytes_completed,
            DownloadEvent::Start { .. } | DownloadEvent::Complete => 0,
        };
        self.0.fetch_max(bytes, Ordering::Relaxed);
    }
}

/// Whether the hub is out of reach, rather than answering no.
fn is_outage(error: &HFError) -> bool {
    match error {
        HFError::Request { .. } | HFError::RateLimited { .. } | HFError::Xet { .. } => true,
        HFError::Http { context } => context.status.is_server_error(),
        _ => false,
    }
}

fn described(hub: &HubRef) -> String {
    use super::locator::Pick;
    let what = match hub.pick() {
        Pick::Default => String::new(),
        Pick::File(what) | Pick::Quant(what) => format!(":{what}"),
    };
    let revision = hub.revision().map(|r| format!("@{r}")).unwrap_or_default();
    format!("hf:{}{revision}{what}", hub.repo())
}
