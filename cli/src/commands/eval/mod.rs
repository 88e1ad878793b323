//! `eval`: what a vector does, beside its controls.

pub mod args;
pub mod config;
mod document;
mod files;
mod run;
mod table;

pub use run::run;
