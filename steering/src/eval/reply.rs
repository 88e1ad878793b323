//! What a rule judges: an answer's text and how it ended.

use trimtab_runtime::generate::{Answer, Finish};

/// How an answer came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The model ended it.
    Itself,
    /// A limit, or something else that is not the model, did.
    Cut,
}

/// An answer as rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its text.
    pub text: String,
    /// How it ended.
    pub end: End,
}

impl Reply {
    /// How many words it has: parts between white space with a letter or a digit in them.
    pub fn words(&self) -> usize {
        words(&self.text).count()
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Reply {
        let end = match answer.finish {
            Finish::EndToken(_) => End::Itself,
            // Whatever else may end an answer cuts it.
            _ => End::Cut,
        };
        Reply { text: answer.text, end }
    }
}

/// The words of a text, punctuation at their ends left out. A dash between spaces is none.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
        .filter(|word| !word.is_empty())
}
