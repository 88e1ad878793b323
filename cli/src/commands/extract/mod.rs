//! `extract`: examples become a vector file and a report; `merge`: shards of one job become the same file.

pub mod args;
pub mod config;
mod examples;
mod report;
mod run;

pub use run::{merge, run};
