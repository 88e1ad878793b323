//! The HTTP interface: the only room that knows requests, JSON shapes and status codes.
//!
//! This room has no content yet. It will hold an axum router with the chat and completion routes
//! people's clients already speak, the steering and feedback routes, the event stream, and one table
//! from errors to statuses. The wire's types live in `wire` and are converted at the edge, so that a
//! change of the protocol never reaches the runtime.
//!
//! It is a library, so that tests call the router without a socket; the binary is in `cli`.
//!
//! It will not name candle, run a tensor inside async code, or depend on `trimtab-trainer`. The
//! engine has a thread of its own and is reached through a bounded queue.

mod refusal;
pub mod steer;
pub mod wire;

pub use refusal::Refusal;
