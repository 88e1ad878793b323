//! What tests and doctests need: a generated tiny model, laws every intervention keeps, a copy counter,
//! and kernels on their own for benchmarks.
//!
//! Behind the feature `testing`; nothing here is downloaded.

pub mod bench;
pub mod copies;
pub mod laws;
pub mod tiny;
