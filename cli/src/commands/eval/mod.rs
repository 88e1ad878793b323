//! `eval`: what a vector does, beside its controls.

pub mod args;
pub mod config;
mod document;
mod files;
mod neutral;
mod picture;
mod run;
mod stages;
mod table;

pub use run::run;
