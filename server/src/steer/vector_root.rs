//! Files under one folder, and no others: nothing a request says leads out of it.
//!
//! A path is refused by its text first, and then by where it really leads, so that neither dots nor links escape. The
//! messages never hold a path of the machine's: only what the request said.

use crate::wire::error::Code;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use trimtab_steering::spec::FieldError;

/// What a source can be.
#[derive(Debug, PartialEq, Eq)]
enum Source<'a> {
    File(&'a str),
    Hub,
}

/// Who asks for a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Sources may be read.
    Open,
    /// They may not.
    Closed,
}

/// The bytes of a source, at most `limit` of them. Faults are at the source itself.
pub(crate) fn read(
    text: &str,
    root: Option<&Path>,
    hub: Access,
    limit: u64,
) -> Result<Vec<u8>, FieldError> {
    match source(text)? {
        Source::Hub if hub == Access::Closed => {
            let problem =
                "names a hub, which this server does not read; start it with --allow-source";
            Err(FieldError::new(Code::SourceDisabled, "", problem))
        }
        Source::Hub => {
            let problem = "is hub:, which is not supported yet; fetch the file and use file:";
            Err(FieldError::new(Code::UnsupportedField, "", problem))
        }
        Source::File(path) => {
            let closed = || {
                let problem = "names a file, and this server has no folder of vectors; start it with --vector-root";
                FieldError::new(Code::SourceDisabled, "", problem)
            };
            let path = jailed(root.ok_or_else(closed)?, path)?;
            bytes(&path, limit)
        }
    }
}

fn source(text: &str) -> Result<Source<'_>, FieldError> {
    match text.split_once(':') {
        Some(("file", path)) => Ok(Source::File(path)),
        Some(("hub", _)) => Ok(Source::Hub),
        _ => Err(FieldError::value("", format!("is {text:?}, expected file: and a path"))),
    }
}

/// The file that a path under a folder really is.
pub(crate) fn jailed(root: &Path, text: &str) -> Result<PathBuf, FieldError> {
    let refused = |problem: &str| {
        FieldError::value("", format!("{problem}, expected a path under the folder of vectors"))
    };
    if text.is_empty() || text.contains('\0') {
        return Err(refused("is empty or holds a NUL"));
    }
    let normal = |part| matches!(part, Component::Normal(_));
    if !Path::new(text).components().all(normal) || text.contains('\\') {
        return Err(refused("is absolute, or has . or .. in it"));
    }
    let missing = |_| {
        let problem = format!("names {text:?}, which is not in the folder of vectors");
        FieldError::new(Code::VectorNotFound, "", problem)
    };
    let root = root.canonicalize().map_err(missing)?;
    let path = root.join(text).canonicalize().map_err(missing)?;
    if !path.starts_with(&root) {
        return Err(refused("leads out of the folder of vectors"));
    }
    Ok(path)
}

fn bytes(path: &Path, limit: u64) -> Result<Vec<u8>, FieldError> {
    let unreadable = |e: std::io::Error| {
        FieldError::new(Code::NotAVectorFile, "", format!("cannot be read: {}", e.kind()))
    };
    // Looked at before it is opened: to open a pipe is to wait for its other end.
    let about = std::fs::metadata(path).map_err(unreadable)?;
    if !about.is_file() {
        return Err(FieldError::new(Code::NotAVectorFile, "", "is no regular file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    fits(bytes, limit, "")
}

/// The same bytes, if there are not too many of them.
pub(crate) fn fits(bytes: Vec<u8>, limit: u64, field: &str) -> Result<Vec<u8>, FieldError> {
    if bytes.len() as u64 <= limit { Ok(bytes) } else { Err(too_long(limit, field)) }
}

/// More bytes than are read.
pub(crate) fn too_long(limit: u64, field: &str) -> FieldError {
    let problem = format!("is longer than {limit} bytes, which is the most that is read");
    FieldError::new(Code::FileTooLarge, field, problem)
}
