//! What a path leads to: a file, something that is written through, or this program's own standard output.

use super::Problem;
use std::fs::{File, Metadata};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// As many links as Linux follows.
const LINKS: usize = 40;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A regular file, or none yet, behind every link.
    File(PathBuf),
    /// A pipe, a terminal or a character device, or an open file that is reached by its descriptor.
    Through(PathBuf),
    /// What this program's standard output is, also if it is reached by another name.
    Stdout,
}

impl Place {
    /// What a path leads to.
    pub(super) fn of(path: &Path) -> Result<Place, Problem> {
        let about = match std::fs::metadata(path) {
            Ok(about) => Some(about),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(e.into()),
        };
        let Some(about) = about else { return absent(path) };
        if about.is_dir() {
            return Err(Problem::Folder);
        }
        if is_stdout(&about) {
            return Ok(Place::Stdout);
        }
        if !about.is_file() {
            return special(path, &about);
        }
        check_access(path, &about)?;
        match resolve(path)? {
            // A link whose text does not lead to what it opens is a descriptor's.
            Some(target) if same(&about, &target) => Ok(Place::File(target)),
            Some(_) | None => Ok(Place::Through(path.to_owned())),
        }
    }

    /// What tells a place from others; `None` of pipes and devices, which take any number of results.
    pub(super) fn identity(&self) -> Option<Identity> {
        match self {
            Place::File(path) | Place::Through(path) => Identity::of(path),
            Place::Stdout => Some(Identity::Stdout),
        }
    }
}

/// Refuses a regular file that is read-only for all or for this user. Opening it to append changes nothing.
fn check_access(path: &Path, about: &Metadata) -> Result<(), Problem> {
    if about.permissions().readonly() {
        return Err(Problem::ReadOnly);
    }
    match File::options().append(true).open(path) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => Err(Problem::ReadOnly),
        Err(e) => Err(e.into()),
    }
}

/// A path at which nothing is yet.
fn absent(path: &Path) -> Result<Place, Problem> {
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(Problem::Folder);
    }
    resolve(path)?.map(Place::File).ok_or_else(|| Error::from(ErrorKind::NotFound).into())
}

/// The file behind every link, which need not exist; `None` if a descriptor stands on the way.
fn resolve(path: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let Some(name) = path.file_name().map(std::ffi::OsStr::to_owned) else {
            return Err(Error::new(ErrorKind::InvalidInput, "it names no file"));
        };
        let folder = folder(&path)?;
        // Linux has them in /proc, where /dev/fd leads; macOS in a folder of their own.
        if folder.starts_with("/proc") && folder.ends_with("fd") || folder == Path::new("/dev/fd") {
            return Ok(None);
        }
        path = folder.join(name);
        match std::fs::read_link(&path) {
            Ok(target) => path = folder.join(target),
            // No link: a file, or nothing.
            Err(_) => return Ok(Some(path)),
        }
    }
    Err(Error::other("too many links lead to it"))
}

/// The folder of a file, behind every link.
fn folder(path: &Path) -> std::io::Result<PathBuf> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let parent = parent.unwrap_or(Path::new("."));
    let named = |e: Error| Error::new(e.kind(), format!("folder {}: {e}", parent.display()));
    let folder = parent.canonicalize().map_err(named)?;
    match folder.is_dir() {
        true => Ok(folder),
        false => Err(named(ErrorKind::NotADirectory.into())),
    }
}

/// What tells a file from others, whatever it is called.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// Device and number on it.
    Node(u64, u64),
    /// A file that is not there, or one on a system without such numbers.
    Path(PathBuf),
    Stdout,
}

impl Identity {
    /// That of a file which is read; `None` where reading and writing do not meet.
    pub(super) fn of(path: &Path) -> Option<Identity> {
        match std::fs::metadata(path) {
            Ok(about) if about.is_file() => {
                node(&about).or_else(|| path.canonicalize().ok().map(Identity::Path))
            }
            Ok(_) => None,
            Err(_) => resolve(path).ok().flatten().map(Identity::Path),
        }
    }
}

fn same(about: &Metadata, path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|other| node(&other) == node(about))
}

#[cfg(unix)]
fn node(about: &Metadata) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    Some(Identity::Node(about.dev(), about.ino()))
}

#[cfg(not(unix))]
fn node(_: &Metadata) -> Option<Identity> {
    None
}

/// What is neither a file nor a folder.
#[cfg(unix)]
fn special(path: &Path, about: &Metadata) -> Result<Place, Problem> {
    use std::os::unix::fs::FileTypeExt;
    let kind = about.file_type();
    if kind.is_block_device() {
        return Err(Problem::Special("block device"));
    }
    if kind.is_socket() {
        return Err(Problem::Special("socket"));
    }
    Ok(Place::Through(path.to_owned()))
}

#[cfg(not(unix))]
fn special(path: &Path, _: &Metadata) -> Result<Place, Problem> {
    Ok(Place::Through(path.to_owned()))
}

/// Whether something is what this program's standard output is. A device that swallows everything, or makes it all up,
/// is never that: what else is written there does no harm.
#[cfg(unix)]
fn is_stdout(about: &Metadata) -> bool {
    use std::io::IsTerminal;
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileTypeExt;
    let out = std::io::stdout();
    if about.file_type().is_char_device() && !out.is_terminal() {
        return false;
    }
    let file = out.as_fd().try_clone_to_owned().map(std::fs::File::from);
    file.and_then(|file| file.metadata()).is_ok_and(|own| node(&own) == node(about))
}

#[cfg(not(unix))]
fn is_stdout(_: &Metadata) -> bool {
    false
}
