//! `doctor`: what this machine and this build can do, and what is in the way.

pub mod args;
mod run;

pub use run::run;
