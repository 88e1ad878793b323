//! What a user writes about the steering of an answer, as JSON: vectors and how they are applied, and a monitor.
//!
//! The types are flat structs of optional fields, so that a refusal can name the field that has to change. They are read by a
//! server from a request and by a command from a file. [`SpecContext`] resolves them: it finds the vectors and policies
//! that they name, refuses what cannot be done, and gives beside each result the specification with every default
//! filled in, which asks for the same again.
//!
//! [`VectorSpec`] becomes a vector of a [`Stack`](crate::stack::Stack), [`MonitorSpec`] a [`ResolvedMonitor`], which makes the
//! guard of each answer.

mod cadence;
mod fields;
mod guard;
mod library;
mod lower;
mod model;
mod monitor;
mod origin;
mod refusal;
mod resolve;
mod settle;
mod vector;

#[cfg(test)]
mod tests;

pub use guard::GuardTerms;
pub use library::{GuardLibrary, Turns};
pub use lower::SpecContext;
pub use model::SteeredModel;
pub use monitor::{
    GuidanceKind, MonitorSpec, PerceiverKind, RetrySpec, RewindRule, RewindSpec, WatchKind,
    WatchSpec,
};
pub use origin::{AdmitTerms, LoadedVector, VectorLookup, VectorOrigin, not_registered};
pub use refusal::{FieldCause, FieldError};
pub use resolve::ResolvedMonitor;
pub use vector::{GateKind, GateSpec, InlineFile, VectorSpec};
