//! `bench`: how fast prompts are read and tokens are made. Rows of a batch really run together, and what is compared
//! runs in turn with what it is compared with.

pub mod args;
mod arms;
pub mod config;
mod measure;
mod numbers;
mod report;
mod run;
mod spread;

pub use run::run;
