//! `serve`: a model behind OpenAI's API.

pub mod args;
pub mod config;
mod desk;
mod log;
mod run;

pub use config::folder_of_state;
pub use desk::{Behind, app, bytes, policies, prepare, read};
pub use run::{run, threads};
