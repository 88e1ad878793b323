//! `chat`: a conversation on a terminal, or one message from a pipe.

pub mod args;
mod conversation;
mod run;
mod words;

pub use run::run;
