//! [`TextStream`]: text as tokens arrive, never half a character.
//!
//! The pieces pushed, and the rest that [`TextStream::flush`] gives, join to what
//! [`Tokenizer::decode`](super::Tokenizer::decode) says of all ids at once: malformed bytes become U+FFFD by
//! the same rule, as soon as no further byte could mend them. After each token the stream notes how long the
//! text is and which bytes still wait, so it can go back to any of them.

use super::tokenizer::Tokenizer;
use std::sync::Arc;

/// What a stream must remember to go back to a token.
#[derive(Debug, Clone, Default)]
struct Mark {
    text_len: usize,
    /// The start of a character that is not complete: at most three bytes.
    waiting: Vec<u8>,
    start: Start,
}

/// Whether the text has begun, for encoders that put a space in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Start {
    Ahead,
    #[default]
    Passed,
}

/// Decodes a sequence of ids one by one. Control tokens are hidden.
#[derive(Debug)]
pub struct TextStream {
    tokenizer: Arc<Tokenizer>,
    text: String,
    origin: Mark,
    marks: Vec<Mark>,
}

impl TextStream {
    /// A stream whose first token begins a text, so that a space put there by the encoder is dropped.
    pub fn new(tokenizer: Arc<Tokenizer>) -> Self {
        let start = if tokenizer.drops_leading_space() { Start::Ahead } else { Start::Passed };
        let origin = Mark { start, ..Mark::default() };
        Self { tokenizer, text: String::new(), origin, marks: Vec::new() }
    }

    /// A stream that continues a text, so that a leading space is kept.
    pub fn continuing(tokenizer: Arc<Tokenizer>) -> Self {
        Self { tokenizer, text: String::new(), origin: Mark::default(), marks: Vec::new() }
    }

    /// Adds a token and returns the text that it completes. An id outside the vocabulary adds nothing.
    pub fn push(&mut self, id: u32) -> &str {
        let before = self.last().clone();
        let from = before.text_len;
        // A flush may have written a stand-in for bytes that this token continues.
        self.text.truncate(from);
        let mut bytes = before.waiting;
        bytes.extend_from_slice(self.tokenizer.token_bytes(id).unwrap_or_default());
        let start = if bytes.is_empty() { before.start } else { Start::Passed };
        if before.start == Start::Ahead && bytes.first() == Some(&b' ') {
            bytes.remove(0);
        }
        let waiting = drain(&bytes, &mut self.text);
        self.marks.push(Mark { text_len: self.text.len(), waiting, start });
        self.text.get(from..).unwrap_or_default()
    }

    /// The rest: U+FFFD if the last character never became complete, else nothing. It becomes part of
    /// [`TextStream::text`]; a later push takes it back.
    pub fn flush(&mut self) -> String {
        let Mark { text_len, waiting, .. } = self.last().clone();
        self.text.truncate(text_len);
        let rest = String::from_utf8_lossy(&waiting).into_owned();
        self.text.push_str(&rest);
        rest
    }

    /// All text so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many tokens were pushed.
    pub fn tokens(&self) -> usize {
        self.marks.len()
    }

    /// The length in bytes of the complete text after `n` tokens; after all of them if there are fewer.
    pub fn text_len_at(&self, n: usize) -> usize {
        self.mark(n).text_len
    }

    /// Goes back to the first `n` tokens.
    pub fn truncate(&mut self, n: usize) {
        self.marks.truncate(n);
        let len = self.last().text_len;
        self.text.truncate(len);
    }

    fn last(&self) -> &Mark {
        self.marks.last().unwrap_or(&self.origin)
    }

    fn mark(&self, n: usize) -> &Mark {
        let index = n.min(self.marks.len()).checked_sub(1);
        index.and_then(|index| self.marks.get(index)).unwrap_or(&self.origin)
    }
}

/// Moves all complete characters of `bytes` to `text` and returns what is left.
fn drain(mut bytes: &[u8], text: &mut String) -> Vec<u8> {
    loop {
        let error = match std::str::from_utf8(bytes) {
            Ok(valid) => {
                text.push_str(valid);
                return Vec::new();
            }
            Err(error) => error,
        };
        let (valid, rest) = bytes.split_at_checked(error.valid_up_to()).unwrap_or((&[], bytes));
        text.push_str(&String::from_utf8_lossy(valid));
        let Some(bad) = error.error_len() else {
            return rest.to_vec();
        };
        text.push(char::REPLACEMENT_CHARACTER);
        bytes = rest.get(bad..).unwrap_or_default();
    }
}
