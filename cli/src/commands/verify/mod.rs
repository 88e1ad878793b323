//! `verify`: proof on this machine that a vector acts where it says, that it leaves others alone, and that rewinds are
//! exact. What is checked is the library's; here it is shown.

pub mod args;
pub mod config;
mod run;

pub use run::{line, row, run};
