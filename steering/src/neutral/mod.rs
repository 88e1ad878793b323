//! Neutral prose that ships with the program, and what is measured on it.
//!
//! Two texts that share no sentence. [`Text::Tune`] is for what is set: how long the stream is, which scale is safe.
//! [`Text::Test`] is for what is reported. Both are plain encyclopaedic English, so what is measured on them says
//! little about other languages, code or conversation.

mod drift;
mod norms;
mod student;

pub use drift::{Drift, DriftOptions, covers, drift};
pub use norms::{DRIFT, Norm, borne_out, lengths, medians, norms_on, stream_norms};
pub(crate) use student::half_width;

use crate::error::Result;
use trimtab_runtime::Model;
use trimtab_runtime::text::Special;

/// Tokens of a window in which norms are measured.
pub const WINDOW: usize = 128;

/// One of the bundled texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// For what is set.
    Tune,
    /// For what is reported.
    Test,
}

impl Text {
    /// The prose itself.
    pub fn prose(self) -> &'static str {
        match self {
            Text::Tune => include_str!("tune.txt"),
            Text::Test => include_str!("test.txt"),
        }
    }

    /// The text for what is set.
    pub fn tune() -> &'static str {
        Text::Tune.prose()
    }

    /// The text for what is reported.
    pub fn test() -> &'static str {
        Text::Test.prose()
    }
}

/// A text's tokens, so that cut into windows of this size each begins as the model wants a text to begin.
fn windowed(model: &Model, text: &str, window: usize) -> Result<Vec<u32>> {
    let tokenizer = model.tokenizer()?;
    let tokens = tokenizer.encode(text, Special::Plain).map_err(trimtab_runtime::Error::from)?;
    let room = window.saturating_sub(tokenizer.with_bos(Vec::new()).len()).max(1);
    Ok(tokens.chunks(room).flat_map(|part| tokenizer.with_bos(part.to_vec())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every run of eight words.
    fn runs(text: &str) -> BTreeSet<String> {
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        words.windows(8).map(|run| run.join(" ")).collect()
    }

    #[test]
    fn the_texts_are_long_and_share_no_passage() {
        let (tune, test) = (Text::tune(), Text::test());
        for text in [tune, test] {
            assert!(text.split_whitespace().count() > 3000);
            // A passage that comes twice in one text would weigh twice.
            assert!(runs(text).len() + 8 > text.split_whitespace().count());
        }
        let shared: Vec<String> = runs(tune).intersection(&runs(test)).cloned().collect();
        assert!(shared.is_empty(), "{shared:?}");
    }
}
