//! What becomes of a request's answers, step by step: what chunks and whole answers are written from.

use crate::error::ApiError;
use crate::steer::Cause;
use crate::wire::chat::{Steered, Usage};
use trimtab_runtime::sample::Step;

/// A token of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    /// How it was chosen; inserted ones were not.
    pub(crate) step: Option<Step>,
    /// Characters of the answer before the one that its first byte is in.
    pub(crate) at: usize,
}

/// What is new of one of the answers.
pub(crate) enum ChoiceUpdate {
    /// It has a place in the engine.
    Begun {
        choice: usize,
    },
    /// New text, and the tokens that begin in it.
    Text {
        choice: usize,
        text: String,
        first: usize,
        tokens: Vec<Token>,
    },
    /// Text that had been sent is not part of it any more.
    Retracted {
        choice: usize,
        /// What is left of it.
        bytes: usize,
        /// The tokens that are left.
        tokens: usize,
        cause: Cause,
    },
    /// It has ended; with the last of them comes what was done to the model.
    Ended {
        choice: usize,
        reason: &'static str,
        steered: Option<Steered>,
    },
    Closed {
        usage: Usage,
    },
    /// Something went wrong: the last piece.
    Failed(ApiError),
}
