//! What tests and doctests need: a generated tiny model, laws every intervention keeps, a copy counter.
//!
//! Behind the feature `testing`; nothing here is downloaded.

pub mod copies;
pub mod laws;
pub mod tiny;
