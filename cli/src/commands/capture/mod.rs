//! `capture`: activations and logits of given texts, in a safetensors file.

pub mod args;
pub mod config;
mod rows;
mod run;

pub use run::run;
