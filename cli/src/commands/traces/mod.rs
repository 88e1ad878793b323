//! `traces`: the answers that a server has kept, while it does not run.

pub mod args;
mod run;

pub use run::run;
