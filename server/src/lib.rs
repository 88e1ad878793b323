//! The HTTP interface: the only crate that knows requests, JSON shapes and status codes.
//!
//! An axum router with the chat and completion routes people's clients already speak, everything of ours in one
//! key, and one table from errors to statuses. It is a library, so that tests call the router without a socket and
//! others mount it in theirs; the binary is in `cli`.
//!
//! A request's way: `visit` names, times and logs it, `auth` looks at its key, `routes` reads its body into a type of
//! `wire`, `chat` makes generations of it and gives them to the engine, whose notices become updates, and `chat`
//! writes these as a stream's chunks or folds them to one answer.
//!
//! ```no_run
//! use trimtab_server::Server;
//!
//! let model = trimtab_runtime::Model::open("smollm2-135m-instruct")?;
//! let router = Server::builder(model).build()?.router();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The crate has no features of its own.
//!
//! It does not name candle, run a tensor inside async code, or read the environment.

pub mod settings;
pub mod steer;
pub mod wire;

mod adapt;
mod app;
mod auth;
mod chat;
mod client_presence;
mod connections;
mod cors;
mod error;
mod headers;
mod keys;
mod learning;
mod listen;
mod metrics;
mod persistence;
mod preparation;
mod replay;
mod request_context;
mod routes;
mod sse;
mod unread_body;

#[cfg(test)]
mod tests;

pub use app::{App, Server};
pub use error::{ApiError, ShouldRetry};
pub use listen::serve;
pub use persistence::Persistence;
pub use replay::Replayed;
pub use settings::Settings;
