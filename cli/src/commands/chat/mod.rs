//! `chat`: a conversation on a terminal or from a script, or one message from a pipe.

pub mod args;
mod arms;
mod chat_adapter;
mod conversation;
mod duel;
mod input;
mod lesson_line;
mod run;
mod talk;
mod turns;
mod words;

pub use run::run;
