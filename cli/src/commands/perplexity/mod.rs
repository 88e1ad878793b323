//! `perplexity`: how well a text is predicted, and how far steered predictions are from plain ones.

pub mod args;
pub mod config;
mod run;

pub use run::run;
