//! `simulate`: what learns while serving, on users and policies whose truth is known. No model is opened.
//!
//! Every seed is a run of its own, and the same under every arm, so that arms are compared seed by seed.

pub mod args;
pub mod config;
mod document;
mod duel;
mod grid;
mod plan;
mod refusal;
mod report;
mod rosa;
mod run;
mod runs;

pub use run::run;
