//! Text to tokens, conversations to prompts, tokens back to text.
//!
//! Three promises, each held by tests against ids that other programs made:
//!
//! - A [`Tokenizer`] gives the ids of the model's own tokenizer, whether it comes from `tokenizer.json` or is
//!   rebuilt from GGUF metadata. What it does not know (an algorithm, split rules) is an error that names it.
//! - What a user wrote never becomes a control token. [`ChatTemplate`] renders with the origin of every
//!   character kept ([`Rendered`]); [`Tokenizer::encode_rendered`] recognises control tokens only in what the
//!   template wrote, and encodes the text between two of them in one piece.
//! - A [`TextStream`] never emits half a character, and can go back.
//!
//! Control tokens are those a file calls control (or special) or unknown, and the names that end a turn.
//! User-defined tokens, such as `<think>` in some vocabularies, are ordinary text to every reference
//! tokenizer, and here too.

mod bound;
mod clock;
mod cover;
mod error;
mod gguf;
mod gguf_bpe;
mod gguf_spm;
mod hf;
mod hf_files;
mod jinja;
mod pretokenizer;
mod python;
mod rendered;
mod special;
mod spm;
mod stream;
mod template;
mod tojson;
mod tokenizer;
mod vocab;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod laws;

pub use error::{Error, Result};
pub use rendered::{Origin, Rendered, Segment};
pub use stream::TextStream;
pub use template::{
    ChatTemplate, GenerationPrompt, Message, ROLES, RenderOptions, Variables, check_variables,
};
pub use tokenizer::{Control, Special, Tokenizer};
