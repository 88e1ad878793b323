//! What can go wrong between text and token ids.
//!
//! Every variant names the thing first; what to do about it is said at the edge.

use crate::decoder::weights::metadata::WrongKind;
use std::path::PathBuf;

/// An error of the text layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not the JSON it should be.
    #[error("{} is not valid JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where the parser stopped.
        #[source]
        source: serde_json::Error,
    },
    /// A tokenizer file lacks something or has the wrong form.
    #[error("tokenizer part {part} is missing or malformed")]
    Malformed {
        /// The key or section.
        part: String,
    },
    /// A GGUF key has the wrong kind of value.
    #[error(transparent)]
    Metadata(#[from] WrongKind),
    /// A GGUF key names a token that the vocabulary does not have.
    #[error("metadata key {key} is {id}, the vocabulary has {size} tokens")]
    NoSuchId {
        /// The full key.
        key: String,
        /// The id.
        id: u32,
        /// Tokens in the vocabulary.
        size: usize,
    },
    /// A GGUF key that the tokenizer needs is not there.
    #[error("metadata key {key} is missing")]
    MissingKey {
        /// The full key.
        key: &'static str,
    },
    /// A GGUF key asks for something that is not here, and to ignore it would give other ids.
    #[error("metadata key {key} asks for what is not supported")]
    Unsupported {
        /// The full key.
        key: &'static str,
    },
    /// `tokenizer.ggml.model` names an algorithm that is not here.
    #[error("tokenizer model {model} is not supported (known: {known})")]
    UnknownModel {
        /// The model as the file names it.
        model: String,
        /// The supported ones.
        known: String,
    },
    /// `tokenizer.ggml.pre` names split rules that are not here.
    #[error("pre-tokenizer {pre} is not supported (known: {known})")]
    UnknownPre {
        /// The name as the file has it.
        pre: String,
        /// The supported ones.
        known: String,
    },
    /// A merge rule that cannot be applied.
    #[error("merge rule {index} ({rule}) does not fit the vocabulary")]
    BadMerge {
        /// Its place in the list.
        index: usize,
        /// Its text.
        rule: String,
    },
    /// The `tokenizers` crate refused a definition or a text.
    #[error("tokenizer failed while {doing}")]
    Backend {
        /// What was being done.
        doing: &'static str,
        /// Its own words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A token id outside the vocabulary.
    #[error("token id {id} is not in this vocabulary ({size} entries)")]
    UnknownToken {
        /// The id.
        id: u32,
        /// The vocabulary's size.
        size: usize,
    },
    /// Ordinary text would have become a control token.
    #[error("control token {token} came out of ordinary text")]
    ControlFromText {
        /// The token's text.
        token: String,
    },
    /// A folder with a tokenizer in a form that is not read.
    #[error("{file} is not read, and there is no tokenizer.json beside it")]
    OtherTokenizer {
        /// The file that is there.
        file: &'static str,
    },
    /// A token that a configuration gives a role, and that the vocabulary does not have.
    #[error("{role} {token:?} is not in the vocabulary")]
    NotInVocabulary {
        /// The role, such as `bos_token`.
        role: &'static str,
        /// The token as the configuration has it.
        token: String,
    },
    /// The model has no chat template.
    #[error("chat template is missing")]
    NoTemplate,
    /// Several chat templates with names, and not the one that is asked for.
    #[error("chat template {name:?} is missing (there are: {known})")]
    NoSuchTemplate {
        /// The name that was looked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A variable for a template that it gets from elsewhere.
    #[error("template variable {name} cannot be set: it is made of the conversation and the model")]
    ReservedVariable {
        /// The name.
        name: String,
    },
    /// The template does not parse, fails while running, or refuses the conversation.
    #[error("chat template failed")]
    Template(#[source] minijinja::Error),
    /// A role that is not one of the conventional names.
    #[error("role {role:?} is not supported (known: {known})")]
    UnknownRole {
        /// The role as given.
        role: String,
        /// The supported ones.
        known: String,
    },
    /// A message holds a control token's text, and the template rewrites messages so that it cannot be
    /// told apart from the template's own control tokens.
    #[error("message text holds control token {token}, which this chat template cannot keep apart")]
    ControlInContent {
        /// The token's text.
        token: String,
    },
}

/// A result of the text layer.
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) fn backend(
    doing: &'static str,
) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Error {
    move |source| Error::Backend { doing, source }
}

pub(crate) fn malformed(part: impl Into<String>) -> Error {
    Error::Malformed { part: part.into() }
}
