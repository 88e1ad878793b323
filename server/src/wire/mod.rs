//! The types of the wire: the only place where HTTP's JSON is known.
//!
//! What comes in is converted by `TryFrom` or a function that may refuse, what goes out by `From`, both at the edge, so
//! that a change of the protocol never reaches the runtime. What a user writes in files too, vectors and monitors, is a type
//! of `trimtab_steering::spec`, and so is each closed list of words.

pub mod adapt;
pub mod adapter;
pub mod audit;
pub mod chat;
pub mod completion;
pub mod duel;
pub mod embedding;
pub mod error;
pub mod feedback;
pub mod health;
pub mod model;
mod read;
pub mod receipt;
pub(crate) mod responses;
pub mod rest;
pub mod sampling;
pub mod steering;
pub mod text;
pub mod union;
pub mod vector;

pub use read::read;

/// A body as JSON. Its keys are texts and its numbers finite, so there is always one.
pub(crate) fn write(body: &impl serde::Serialize) -> String {
    serde_json::to_string(body).unwrap_or_default()
}
