//! `eval`: what a vector does, beside its controls.

pub mod args;
pub mod config;
mod document;
mod files;
mod picture;
mod run;
mod table;

pub use run::run;
