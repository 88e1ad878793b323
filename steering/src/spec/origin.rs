//! Where the file of a vector comes from, and a file that was held against the model.

use super::refusal::FieldError;
use super::vector::{InlineFile, VectorSpec};
use crate::error::Error;
use crate::file::card::{ModelPin, Status};
use crate::file::{VectorFile, Warning, sha256};
use crate::steer::NullVectors;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a vector's file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VectorOrigin<'a> {
    /// It is registered under a name.
    Id(&'a str),
    /// It is read from somewhere.
    Source(&'a str),
    /// It stands in the specification.
    Inline(&'a InlineFile),
}

impl VectorSpec {
    /// Where its file comes from.
    pub fn origin(&self) -> Result<VectorOrigin<'_>, FieldError> {
        match (&self.id, &self.source, &self.inline) {
            (Some(id), None, None) => Ok(VectorOrigin::Id(id)),
            (None, Some(source), None) => Ok(VectorOrigin::Source(source)),
            (None, None, Some(inline)) => Ok(VectorOrigin::Inline(inline)),
            (None, None, None) => {
                Err(FieldError::value("", "names no vector; give id, source or inline"))
            }
            _ => {
                let problem = "names its vector twice; give one of id, source and inline";
                Err(FieldError::value("", problem))
            }
        }
    }
}

/// What is said beside a file that is brought.
#[derive(Debug, Clone, Copy, Default)]
pub struct AdmitTerms<'a> {
    /// The text that accepts a file of another model.
    pub accept: Option<&'a str>,
    /// Whether a vector without effect is taken.
    pub null: NullVectors,
}

/// A file that belongs to the model.
#[derive(Debug)]
pub struct LoadedVector {
    /// Its id or source; `inline` for one that stands in a specification.
    pub label: String,
    /// Of its bytes, in hexadecimal.
    pub sha256: String,
    /// How many there are.
    pub bytes: u64,
    /// The file.
    pub file: Arc<VectorFile>,
    /// What was found when the file was held against the model.
    pub warnings: Vec<Warning>,
    /// Whether it may be without effect.
    pub null: NullVectors,
}

impl LoadedVector {
    /// Reads a file and holds it against the model.
    pub fn read(
        label: &str,
        bytes: &[u8],
        pin: &ModelPin,
        terms: AdmitTerms<'_>,
    ) -> Result<LoadedVector, FieldError> {
        let told = |e| FieldError::of(e, "");
        let file = VectorFile::from_bytes(bytes).map_err(told)?;
        let warnings = file.admit(pin, terms.accept).map_err(told)?;
        let card = file.card();
        if card.status == Status::Null && terms.null == NullVectors::Refuse {
            return Err(told(Error::StatusNull { name: card.name.clone() }));
        }
        let (label, sha256) = (label.to_owned(), sha256(bytes));
        let (bytes, file) = (bytes.len() as u64, Arc::new(file));
        Ok(LoadedVector { label, sha256, bytes, file, warnings, null: terms.null })
    }
}

/// Finds the vectors that specifications name.
pub trait VectorLookup {
    /// The vector that is registered under a name.
    fn registered(&self, id: &str) -> Option<Arc<LoadedVector>>;

    /// A vector that is read from somewhere. Faults are at the source itself.
    fn source(&self, source: &str) -> Result<Arc<LoadedVector>, FieldError>;

    /// A vector that stands in a specification. Faults are at its fields.
    fn inline(&self, file: &InlineFile) -> Result<Arc<LoadedVector>, FieldError>;

    /// A vector from wherever its file is. A fault is at `id`, `source` or `inline`.
    fn find(&self, origin: VectorOrigin<'_>) -> Result<Arc<LoadedVector>, FieldError> {
        match origin {
            VectorOrigin::Id(id) => self.registered(id).ok_or_else(|| not_registered("id", id)),
            VectorOrigin::Source(source) => self.source(source).map_err(|e| e.under("source")),
            VectorOrigin::Inline(file) => self.inline(file).map_err(|e| e.under("inline")),
        }
    }
}

impl VectorLookup for BTreeMap<String, Arc<LoadedVector>> {
    fn registered(&self, id: &str) -> Option<Arc<LoadedVector>> {
        self.get(id).cloned()
    }

    fn source(&self, _: &str) -> Result<Arc<LoadedVector>, FieldError> {
        Err(closed())
    }

    fn inline(&self, _: &InlineFile) -> Result<Arc<LoadedVector>, FieldError> {
        Err(closed())
    }
}

fn closed() -> FieldError {
    FieldError::new("source_disabled", "", "is not read here; name the vector by its id")
}

/// There is no vector of this name.
pub fn not_registered(field: &str, id: &str) -> FieldError {
    let problem = format!("is {id:?}, and no such vector is registered");
    FieldError::new("vector_not_found", field, problem)
}
