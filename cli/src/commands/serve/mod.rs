//! `serve`: a model behind OpenAI's API.

pub mod args;
pub mod config;
mod desk;
mod log;
mod run;

pub use desk::{Prepare, app, policies, prepare, read};
pub use run::{folder_of_state, run, threads};
