//! What can go wrong in the runtime.
//!
//! Variants carry data, messages name the thing first. What to do about it is the hint of the edge (command
//! line, HTTP); `kind` tells the edge which status or exit code fits.

use crate::site::{Site, SiteError};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Fetching or finding a model failed.
    #[error(transparent)]
    Hub(Box<crate::hub::Error>),
    /// A weight file is not readable.
    #[error(transparent)]
    Weights(Box<crate::decoder::weights::Error>),
    /// A tokenizer or template problem.
    #[error(transparent)]
    Text(Box<crate::text::Error>),
    /// A model description is not usable.
    #[error(transparent)]
    Spec(Box<crate::decoder::spec::SpecError>),
    /// A text that names no site.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// A tensor operation failed.
    #[error("{at}: {source}")]
    Tensor {
        /// The tensor or step.
        at: String,
        /// What candle said.
        source: candle_core::Error,
    },
    /// The device cannot be used.
    #[error("device {name} is not usable: {reason}")]
    Device {
        /// As it was asked for.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A site the model does not have.
    #[error("site {site} is not in this model ({n_layers} blocks)")]
    NoSuchSite {
        /// The site asked for.
        site: Site,
        /// How many blocks the model has.
        n_layers: usize,
    },
    /// An intervention that could never change anything.
    #[error("intervention {index} cannot act: {reason}")]
    CannotAct {
        /// Its place in the plan, from 0.
        index: usize,
        /// Why.
        reason: String,
    },
    /// A vector of another width than the model's stream.
    #[error("vector for {site} has {found} values, the stream has {expected}")]
    Width {
        /// Where it was to act.
        site: Site,
        /// Its length.
        found: usize,
        /// The stream's width.
        expected: usize,
    },
    /// A hook returned another shape than it was given.
    #[error("hook at {site} returned shape {found:?} for {expected:?}")]
    HookShape {
        /// Where.
        site: Site,
        /// What came back.
        found: Vec<usize>,
        /// What went in.
        expected: Vec<usize>,
    },
    /// An activation or a logit is NaN or infinite.
    #[error("{at} is not finite at position {position}")]
    NotFinite {
        /// Site or `logits`.
        at: String,
        /// Absolute position in the sequence.
        position: usize,
    },
    /// A token id the model does not have.
    #[error("token {token} is not in the vocabulary ({vocab_size} tokens)")]
    NoSuchToken {
        /// The id.
        token: u32,
        /// How many ids there are.
        vocab_size: usize,
    },
    /// More tokens than the context holds.
    #[error("sequence of {needed} tokens does not fit the context of {limit}")]
    ContextFull {
        /// Tokens with the new ones.
        needed: usize,
        /// The most a sequence may have.
        limit: usize,
    },
    /// A text that was not tokenised, because it is too long in any case.
    #[error("text of at least {at_least} tokens does not fit the context of {room} with an answer")]
    PromptTooLong {
        /// Tokens it has at least.
        at_least: usize,
        /// Tokens that a prompt and its answer may have.
        room: usize,
    },
    /// No free block is left in the key–value pool.
    #[error("key-value pool is full ({blocks} blocks of {block_len} tokens)")]
    PoolFull {
        /// Blocks in the pool.
        blocks: usize,
        /// Tokens a block holds.
        block_len: usize,
    },
    /// No place is left among those who run and those who wait.
    #[error("queue is full ({places} places)")]
    QueueFull {
        /// Answers that may run or wait at once.
        places: usize,
    },
    /// The engine takes nothing new because it is being shut down.
    #[error("engine is shutting down")]
    Draining,
    /// The time that a request had is over.
    #[error("deadline of the request has passed")]
    Deadline,
    /// A checkpoint of a history that was rewound or replanned since.
    #[error("checkpoint at {len} tokens is stale: its history was rewound or replanned")]
    StaleCheckpoint {
        /// Tokens at the checkpoint.
        len: usize,
    },
    /// A value outside its range.
    #[error("{field} {problem}")]
    Invalid {
        /// The field as users write it.
        field: &'static str,
        /// What is wrong, with the value.
        problem: String,
    },
    /// Code that the caller gave has panicked. It ends the answer it belongs to and no other.
    #[error("{what} panicked: {message}")]
    Panicked {
        /// What panicked: a hook, a monitor, a logits processor, a group's sampler or a sink.
        what: &'static str,
        /// The panic's message.
        message: String,
    },
    /// What ends several answers at once.
    #[error(transparent)]
    Shared(std::sync::Arc<Error>),
    /// Cache, rows and decoder that do not belong together, or a broken call order.
    #[error("{0}")]
    Misuse(&'static str),
    /// A tokenizer that cannot be built. The model takes token ids all the same.
    #[error("tokenizer of this model cannot be used")]
    Tokenizer(#[source] std::sync::Arc<crate::text::Error>),
    /// A chat template that cannot be used. The model continues texts all the same.
    #[error("chat template of this model cannot be used")]
    Template(#[source] std::sync::Arc<crate::text::Error>),
    /// A model whose files hold no tokenizer.
    #[error("model has no tokenizer: only token ids can be given")]
    NoTokenizer,
    /// File access.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

// Boxed, because every `Result` of the crate would be as large as the largest of them.
impl From<crate::hub::Error> for Error {
    fn from(error: crate::hub::Error) -> Self {
        Error::Hub(Box::new(error))
    }
}

impl From<crate::decoder::weights::Error> for Error {
    fn from(error: crate::decoder::weights::Error) -> Self {
        Error::Weights(Box::new(error))
    }
}

impl From<crate::text::Error> for Error {
    fn from(error: crate::text::Error) -> Self {
        Error::Text(Box::new(error))
    }
}

impl From<crate::decoder::spec::SpecError> for Error {
    fn from(error: crate::decoder::spec::SpecError) -> Self {
        Error::Spec(Box::new(error))
    }
}

/// Calls code that the caller gave; its panic becomes an error.
///
/// The state that the code leaves behind must not be used again: the answer it belongs to ends.
pub(crate) fn contain<T>(what: &'static str, call: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Error::Panicked { what, message: text.unwrap_or_else(|| "no message".to_owned()) }
    })
}

/// Who has to act on an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The caller's input is wrong.
    Input,
    /// The request was understood and is refused.
    Refused,
    /// Try again later.
    Busy,
    /// The model or its files are at fault.
    Model,
    /// Something outside is missing: hub, network.
    Outside,
    /// The machine or a bug.
    Internal,
}

impl Error {
    /// Wraps a candle error with the tensor or step it came from.
    pub fn tensor(at: impl Into<String>) -> impl FnOnce(candle_core::Error) -> Error {
        let at = at.into();
        move |source| Error::Tensor { at, source }
    }

    /// Who has to act.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Hub(e) => match e.kind() {
                crate::hub::ErrorKind::Refused => Kind::Input,
                crate::hub::ErrorKind::Missing => Kind::Outside,
                crate::hub::ErrorKind::Disk => Kind::Internal,
            },
            Error::Shared(error) => error.kind(),
            Error::Weights(_)
            | Error::Spec(_)
            | Error::Text(_)
            | Error::Tokenizer(_)
            | Error::Template(_)
            | Error::NoTokenizer => Kind::Model,
            Error::Site(_)
            | Error::Invalid { .. }
            | Error::NoSuchToken { .. }
            | Error::ContextFull { .. }
            | Error::PromptTooLong { .. } => Kind::Input,
            Error::NoSuchSite { .. } | Error::CannotAct { .. } | Error::Width { .. } => {
                Kind::Refused
            }
            Error::PoolFull { .. }
            | Error::QueueFull { .. }
            | Error::Draining
            | Error::Deadline => Kind::Busy,
            Error::Tensor { .. }
            | Error::Device { .. }
            | Error::HookShape { .. }
            | Error::NotFinite { .. }
            | Error::Panicked { .. }
            | Error::StaleCheckpoint { .. }
            | Error::Misuse(_)
            | Error::Io { .. } => Kind::Internal,
        }
    }
}
