//! Files from the Hugging Face hub.
//!
//! The cache is looked at first: what is there by name is used without a request, so a model once
//! fetched opens on a plane. A branch that has moved is therefore not followed by itself; a
//! revision asks for a certain commit. Otherwise the hub is asked for the commit and its listing,
//! and files come one by one, each verified against the size the listing announced.

use std::fs;
use std::path::{Path, PathBuf};

use super::choose::choose;
use super::client::{Client, Listed};
use super::dirs::{Account, Reach};
use super::error::Error;
use super::locator::HubRef;
use super::progress::{Progress, Stage};
use super::slot;
use super::snapshot::{self, Fit, MAIN, Snapshot};
use super::verify::Pin;

/// The hub as one resolver sees it.
pub(super) struct Remote<'a> {
    pub cache: &'a Path,
    pub account: &'a Account,
    pub reach: Reach,
    pub progress: &'a dyn Progress,
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
                (Err(error), Some((snapshot, _))) if error.is_outage() => Ok(snapshot),
                (fetched, _) => fetched,
            },
        }
    }

    /// The files of a reference from the hub. A pinned file whose listing tells of other bytes is
    /// refused before it is downloaded.
    pub(super) fn fetch(&self, hub: &HubRef, pin: Option<Pin>) -> Result<Snapshot, Error> {
        let client = Client::new(self.account, hub.repo());
        let commit = self.commit(&client, hub)?;
        let listed = client.list(&commit)?;
        let names: Vec<String> = listed.iter().map(|l| l.name.clone()).collect();
        let choice = choose(hub, &names)?;
        for name in choice.files() {
            let Some(file) = listed.iter().find(|l| l.name == *name) else {
                continue;
            };
            if let Some(pin) = pin {
                file.check(pin)?;
            }
            self.download(&client, (hub.repo(), &commit), file)?;
        }
        let dir = snapshot::repo_folder(self.cache, hub.repo()).join("snapshots").join(&commit);
        self.remember(hub, &commit)?;
        let path = snapshot::open(&dir, &choice)
            .ok_or_else(|| Error::NotCached { what: described(hub) })?;
        Ok(Snapshot { path, commit })
    }

    /// All files are taken from one commit, even if the branch moves meanwhile.
    fn commit(&self, client: &Client<'_>, hub: &HubRef) -> Result<String, Error> {
        let revision = hub.revision().unwrap_or(MAIN);
        if snapshot::is_commit(revision) {
            return Ok(revision.to_owned());
        }
        // The commit becomes a folder's name, so nothing else is taken for one.
        client
            .commit(revision)?
            .filter(|sha| snapshot::is_commit(sha))
            .ok_or_else(|| Error::NoCommit { repo: hub.repo().to_owned() })
    }

    /// Puts a file into the ordinary cache: its bytes among the blobs, a link in the snapshot.
    fn download(
        &self,
        client: &Client<'_>,
        (repo, commit): (&str, &str),
        file: &Listed,
    ) -> Result<(), Error> {
        let folder = snapshot::repo_folder(self.cache, repo);
        let name = folder.join("snapshots").join(commit).join(&file.name);
        if is_whole(&name, file) {
            return Ok(());
        }
        let tag = client.blob_name(commit, &file.name)?;
        let blobs = folder.join("blobs");
        fs::create_dir_all(&blobs).map_err(Error::io("creating", &blobs))?;
        let blob = blobs.join(&tag);
        if !is_whole(&blob, file) {
            let locks = self.cache.join(".locks");
            let locks = folder.file_name().map_or(locks.clone(), |name| locks.join(name));
            let lock = slot::lock(&locks.join(format!("{tag}.lock")), self.progress)?;
            // Without a lock another process may be writing, so the bytes go where nothing else writes.
            let part = match &lock {
                Some(_) => format!("{tag}.incomplete"),
                None => format!("{tag}.{}.incomplete", std::process::id()),
            };
            if !is_whole(&blob, file) {
                self.bring(client, (commit, file), (&blobs.join(part), &blob))?;
            }
        }
        link(&blob, &name)
    }

    fn bring(
        &self,
        client: &Client<'_>,
        (commit, file): (&str, &Listed),
        (part, blob): (&Path, &Path),
    ) -> Result<(), Error> {
        let mut stage =
            Stage::begin(self.progress, &format!("fetching {}", file.name), Some(file.bytes));
        let sent = client.transfer(commit, file, part, &mut stage);
        if let Err(Error::WrongSize { .. }) = sent {
            // What is another file must not be gone on with; it may never have been written.
            let _ = fs::remove_file(part);
        }
        sent?;
        fs::rename(part, blob).map_err(Error::io("moving", part))
    }

    /// Writes which commit a branch stood for, where the ordinary cache keeps it.
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
    fn check(&self, pin: Pin) -> Result<(), Error> {
        let what = format!("{} as listed", self.name);
        pin.check_size(&what, self.bytes)?;
        self.sha256.as_deref().map_or(Ok(()), |found| pin.check_hash(&what, found))
    }
}

fn is_whole(path: &Path, file: &Listed) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == file.bytes)
}

/// Gives a blob its name in a snapshot: a relative link, or a copy where there are no links.
fn link(blob: &Path, name: &Path) -> Result<(), Error> {
    let folder = name.parent().unwrap_or(name);
    fs::create_dir_all(folder).map_err(Error::io("creating", folder))?;
    // What lies there is of another size, or a link to nothing.
    let _ = fs::remove_file(name);
    if symlink(&relative(blob, folder), name).is_ok() || is_file(name) {
        return Ok(());
    }
    fs::copy(blob, name).map(drop).map_err(Error::io("writing", name))
}

fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file())
}

/// The way from a folder to a blob of the same repository.
fn relative(blob: &Path, folder: &Path) -> PathBuf {
    let repository = blob.parent().and_then(Path::parent);
    let below = repository.and_then(|repository| folder.strip_prefix(repository).ok());
    let Some((below, repository)) = below.zip(repository) else { return blob.to_path_buf() };
    let up: PathBuf = below.components().map(|_| "..").collect();
    blob.strip_prefix(repository).map_or(blob.to_path_buf(), |blob| up.join(blob))
}

#[cfg(unix)]
fn symlink(to: &Path, at: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(to, at)
}

#[cfg(not(unix))]
fn symlink(_to: &Path, _at: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
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
