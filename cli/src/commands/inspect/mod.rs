//! `inspect`: what vector files say, and what they would do to a model.

pub mod args;
mod run;

pub use run::run;
