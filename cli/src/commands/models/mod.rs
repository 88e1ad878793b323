//! `models`: what has a name, what is here, and what a model is.

pub mod args;
mod describe;
mod refused;
mod run;
mod tensors;

pub use run::run;
