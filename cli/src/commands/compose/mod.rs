//! `compose`: one vector file from several, and what they do to each other.

pub mod args;
pub mod config;
mod document;
mod measured;
mod run;
mod table;

pub use run::run;
