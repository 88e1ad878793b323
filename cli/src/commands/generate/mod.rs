//! `generate`: one prompt, one answer, or a plain and a steered one.

pub mod args;
mod chunks;
pub mod config;
mod document;
mod printer;
pub mod replay;
mod run;

pub use document::document;
pub use run::{PLAIN, report, run, stdin_text, titled};
