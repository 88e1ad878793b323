//! Weight files: GGUF and safetensors behind one door.
//!
//! [`Weights::open`] maps the files into memory, reads every header and checks that each tensor lies
//! inside its file; after that nothing about the files is in doubt but the values. Files come from
//! strangers, so the readers allocate in proportion to the file, never to what a field claims.
//!
//! Nothing here knows an architecture: `arch` maps names to places in the decoder. Tensors of types
//! that cannot be loaded are listed and refused by [`Weights::load`], so an unused one does no harm.

mod error;
mod folder;
mod gguf;
mod load;
mod mapped;
pub mod metadata;
mod shard;
mod stored;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use mapped::Mapped;
use metadata::Metadata;

pub use error::Error;
pub use gguf::{Fault, Flaw, Place};
pub use load::Loaded;
pub use stored::StoredType;

/// A set of weight files, open and checked. Immutable, so it can be shared between threads.
///
/// The files stay mapped as long as this lives, and must not be changed meanwhile: a file that is
/// cut short under a map kills the process at the next read.
pub struct Weights {
    path: PathBuf,
    files: Vec<Mapped>,
    tensors: Vec<Placed>,
    metadata: Option<Metadata>,
    config: Option<serde_json::Value>,
}

/// What a file says about one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorEntry {
    /// The name in the file.
    pub name: String,
    /// Row-major, outermost dimension first, whatever the order in the file.
    pub shape: Vec<usize>,
    /// How the values are stored.
    pub dtype: StoredType,
    /// Bytes in the file. For a type of unknown size: all bytes up to the next tensor.
    pub bytes: usize,
}

/// A tensor and where its data lies: checked to be inside the file.
struct Placed {
    entry: TensorEntry,
    /// Number of the file in [`Weights::files`].
    file: usize,
    /// From the start of the file.
    start: usize,
}

impl Weights {
    /// Opens a GGUF file (the first part of a split set opens all parts) or a folder with
    /// `config.json` and safetensors files.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if path.is_dir() { folder::open(path) } else { gguf::open(path) }
    }

    /// The metadata of a GGUF file; of a split set, that of its first part.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    /// The `config.json` of a folder.
    pub fn config(&self) -> Option<&serde_json::Value> {
        self.config.as_ref()
    }

    /// All tensors in name order.
    pub fn tensors(&self) -> impl Iterator<Item = &TensorEntry> {
        self.tensors.iter().map(|placed| &placed.entry)
    }

    /// The tensor of this name.
    pub fn entry(&self, name: &str) -> Option<&TensorEntry> {
        self.placed(name).map(|placed| &placed.entry)
    }

    /// The size of all files together.
    pub fn file_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes().len() as u64).sum()
    }

    /// Gives back the memory of pages that were read, as after copying all tensors to a device.
    /// What is read again comes from the file again. A hint: it never fails.
    pub fn release_pages(&self) {
        self.files.iter().for_each(Mapped::release);
    }

    fn placed(&self, name: &str) -> Option<&Placed> {
        let found = self.tensors.binary_search_by(|placed| placed.entry.name.as_str().cmp(name));
        self.tensors.get(found.ok()?)
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Weights")
            .field("path", &self.path)
            .field("files", &self.files.len())
            .field("tensors", &self.tensors.len())
            .finish_non_exhaustive()
    }
}

/// Joins the tensors of several files, each name once.
fn gather(path: &Path, files: Vec<(Mapped, Vec<Placed>)>) -> Result<Weights, Error> {
    let mut maps = Vec::with_capacity(files.len());
    let mut tensors = Vec::new();
    for (number, (map, list)) in files.into_iter().enumerate() {
        maps.push(map);
        tensors.extend(list.into_iter().map(|placed| Placed { file: number, ..placed }));
    }
    tensors.sort_by(|a: &Placed, b| a.entry.name.cmp(&b.entry.name));
    let weights =
        Weights { path: path.to_owned(), files: maps, tensors, metadata: None, config: None };
    for pair in weights.tensors.windows(2) {
        if let [first, second] = pair
            && first.entry.name == second.entry.name
        {
            return Err(Error::Duplicate {
                tensor: first.entry.name.clone(),
                first: weights.path_of(first).to_owned(),
                second: weights.path_of(second).to_owned(),
            });
        }
    }
    Ok(weights)
}
