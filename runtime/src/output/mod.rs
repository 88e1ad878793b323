//! Where results go: decided before the work, and written whole or not at all.
//!
//! Every file that a user names for a result is written here. A link is followed and stays a link. A regular file is
//! written beside its place and renamed onto it, with the owner and the permissions of the file that was there. A pipe,
//! a terminal, a character device and a descriptor such as `/dev/stdout` are written through, because a rename would
//! replace them. Folders, block devices, sockets, read-only files and files that the same command reads are refused
//! by [`plan`], before anything is computed. Of a file with several names (hard links) only the name that is written has
//! the new content.

mod draft;
mod place;

#[cfg(test)]
mod tests;

pub use draft::Draft;

use place::{Identity, Place};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file of a command and the flag that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The flag, as the user writes it.
    pub flag: &'static str,
    /// The file.
    pub path: PathBuf,
}

impl Named {
    /// A file that a flag names.
    pub fn new(flag: &'static str, path: impl Into<PathBuf>) -> Named {
        Named { flag, path: path.into() }
    }
}

/// An output that is not written to.
#[derive(Debug, thiserror::Error)]
#[error("{} {problem}", path.display())]
pub struct OutputError {
    /// The flag that names the output.
    pub flag: &'static str,
    /// The output.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub problem: Problem,
}

/// What is wrong with an output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A folder.
    #[error("is a folder, expected a file")]
    Folder,
    /// Something that is written to, but not by this.
    #[error("is a {0}, which is not written to")]
    Special(&'static str),
    /// A pipe or a device where a file is needed.
    #[error("is no regular file, and this result is not written from its beginning to its end")]
    NoSeeking,
    /// A file that may not be written, by any user or by this one.
    #[error("is read-only")]
    ReadOnly,
    /// A file that the command reads too, or writes something else to.
    #[error("is {other} too, and would be overwritten; name another file")]
    Same {
        /// The other flag and its file.
        other: String,
    },
    /// What the system says.
    #[error("cannot be written: {0}")]
    System(#[from] std::io::Error),
}

/// What [`plan`] found out about outputs that may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdout {
    /// No output is standard output.
    Free,
    /// One output is, so nothing else can go there.
    Taken,
}

/// Decides about all outputs of a command, before its work. Nothing that exists is changed.
///
/// A file that is read and written under one flag is changed in place, which is what the flag says.
///
/// # Errors
/// When an output cannot be written, is a file that the command reads, or is another of its outputs.
pub fn plan(reads: &[Named], writes: &[Named]) -> Result<Stdout, OutputError> {
    let mut taken: Vec<(&Named, Identity)> =
        reads.iter().filter_map(|read| Some((read, Identity::of(&read.path)?))).collect();
    let mut stdout = Stdout::Free;
    for write in writes {
        let refuse = |problem| OutputError { flag: write.flag, path: write.path.clone(), problem };
        let place = Place::of(&write.path).map_err(refuse)?;
        let Some(identity) = place.identity() else { continue };
        let other = taken.iter().find(|(named, other)| {
            *other == identity && (named.flag != write.flag || named.path != write.path)
        });
        if let Some((named, _)) = other {
            let other = format!("{} {}", named.flag, named.path.display());
            return Err(refuse(Problem::Same { other }));
        }
        match &place {
            Place::File(path) => draft::probe(path).map_err(|e| refuse(e.into()))?,
            Place::Stdout => stdout = Stdout::Taken,
            Place::Through(_) => {}
        }
        taken.push((write, identity));
    }
    Ok(stdout)
}

/// Writes a whole result.
///
/// # Errors
/// When the path cannot be written to; what was there is unchanged then, unless it is a pipe or a device.
pub fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    match Place::of(path).map_err(std::io::Error::from)? {
        Place::File(target) => {
            let mut draft = Draft::beside(&target)?;
            draft.put(0, bytes)?;
            draft.keep()
        }
        Place::Through(path) => File::options().append(true).open(path)?.write_all(bytes),
        Place::Stdout => {
            let mut out = std::io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        }
    }
}

/// Whether a path leads to a regular file, or to none yet, beside which further files can be written.
pub fn is_file(path: &Path) -> bool {
    matches!(Place::of(path), Ok(Place::File(_)))
}

impl From<Problem> for std::io::Error {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::System(error) => error,
            Problem::Folder => std::io::ErrorKind::IsADirectory.into(),
            Problem::ReadOnly => std::io::ErrorKind::PermissionDenied.into(),
            other => std::io::Error::new(std::io::ErrorKind::InvalidInput, other.to_string()),
        }
    }
}
