//! One answer as it unfolds: which of its text and tokens were sent.
//!
//! A token and its text do not come together: characters may take several tokens, and text that could become a stop
//! text is held back. A token belongs to the piece with the first byte of its text, so that the tokens of all pieces are
//! those of the answer. Where text is taken back inside a piece, the piece is taken back whole and its beginning sent
//! again, so that whoever drops pieces is left with the right text.

use super::pieces::{Piece, Token};
use crate::steer::Cause;
use crate::wire::receipt::ReplayableReceipt;
use std::sync::Arc;
use std::time::Instant;
use trimtab_runtime::sample::Step;
use trimtab_runtime::text::{TextStream, Tokenizer};

/// One answer as it unfolds.
pub(super) struct Unfolding {
    stream: TextStream,
    /// The text of all tokens so far, shown or not.
    text: String,
    /// The tokens so far.
    steps: Vec<Token>,
    /// Whole characters of their text.
    characters: usize,
    /// Text that was sent.
    sent: String,
    /// The pieces that were sent: the number of each one's first token, and where its text begins.
    pieces: Vec<(usize, usize)>,
    /// Tokens that were sent.
    delivered: usize,
    /// How often it was rewound, and the tokens that went with it.
    pub(super) rewinds: u32,
    pub(super) rewound_tokens: usize,
    /// When the newest token came.
    pub(super) newest: Option<Instant>,
    pub(super) receipt: Option<ReplayableReceipt>,
}

impl Unfolding {
    pub(super) fn new(tokenizer: Arc<Tokenizer>) -> Unfolding {
        Unfolding {
            stream: TextStream::new(tokenizer),
            text: String::new(),
            steps: Vec::new(),
            characters: 0,
            sent: String::new(),
            pieces: Vec::new(),
            delivered: 0,
            rewinds: 0,
            rewound_tokens: 0,
            newest: None,
            receipt: None,
        }
    }

    pub(super) fn push(&mut self, token: u32, step: Option<Step>) {
        // A token that ends in the middle of a character has its first byte in the one that is not whole yet.
        let at = self.characters;
        let text = self.stream.push(token);
        self.characters += text.chars().count();
        self.text.push_str(text);
        self.steps.push(Token { step, at });
    }

    /// Tokens that were sent.
    pub(super) fn delivered(&self) -> usize {
        self.delivered
    }

    /// Tokens that were made and are part of it.
    pub(super) fn made(&self) -> usize {
        self.steps.len()
    }

    /// Text that may be shown. What no token has made is said in the place of the answer, whose other tokens are gone.
    pub(super) fn show(&mut self, choice: usize, text: String) -> Piece {
        let ahead = self.text.get(self.sent.len()..).unwrap_or_default();
        // Half a character at the end of an answer becomes a mark that no token has.
        if !ahead.starts_with(text.trim_end_matches(char::REPLACEMENT_CHARACTER)) {
            self.forget(self.delivered);
        }
        self.piece(choice, text, 0)
    }

    /// Tokens without text behind the last that has some, if there are any of the first `tokens`.
    pub(super) fn rest(&mut self, choice: usize, tokens: usize) -> Option<Piece> {
        (self.delivered < tokens).then(|| self.piece(choice, String::new(), tokens))
    }

    fn piece(&mut self, choice: usize, text: String, at_least: usize) -> Piece {
        let first = self.delivered;
        self.pieces.push((first, self.sent.len()));
        self.sent.push_str(&text);
        let steps = self.due(at_least);
        Piece::Text { choice, text, first, steps }
    }

    /// The tokens that begin in the text sent so far and were not sent.
    fn due(&mut self, at_least: usize) -> Vec<Token> {
        let begins = |n: &usize| self.stream.text_len_at(*n) < self.sent.len();
        let begun = (self.delivered..self.steps.len()).take_while(begins).count();
        let until = (self.delivered + begun).max(at_least).min(self.steps.len());
        let due = self.steps.get(self.delivered..until).unwrap_or_default().to_vec();
        self.delivered = until;
        due
    }

    /// Forgets all but the first tokens.
    fn forget(&mut self, tokens: usize) {
        self.text.truncate(self.stream.text_len_at(tokens));
        self.stream.truncate(tokens);
        // The first token that goes knows how much there was before it.
        self.characters = self.steps.get(tokens).map_or(self.characters, |token| token.at);
        self.steps.truncate(tokens);
        self.delivered = self.delivered.min(tokens);
    }

    /// Forgets tokens that were rewound.
    pub(super) fn rewind(&mut self, tokens: usize) {
        self.rewound_tokens += self.steps.len().saturating_sub(tokens);
        self.forget(tokens);
        self.rewinds += 1;
    }

    /// Takes back the text from a byte on: every piece with some of it, and what those had before it again.
    pub(super) fn retract(&mut self, choice: usize, bytes: usize, cause: Cause) -> Vec<Piece> {
        let ends = |at: usize| self.pieces.get(at + 1).map_or(self.sent.len(), |next| next.1);
        let touched = (0..self.pieces.len()).find(|at| ends(*at) > bytes);
        let Some(&(from, _)) = touched.and_then(|at| self.pieces.get(at)) else {
            return Vec::new();
        };
        // Pieces are dropped by number, and a piece of text alone has the number of the token behind it.
        let first = self.pieces.iter().position(|(number, _)| *number >= from).unwrap_or_default();
        let begin = self.pieces.get(first).map_or(0, |piece| piece.1);
        self.pieces.truncate(first);
        let again = self.sent.get(begin..bytes).unwrap_or_default().to_owned();
        self.sent.truncate(begin);
        self.delivered = from;
        let mut pieces = vec![Piece::Retracted { choice, bytes: begin, tokens: from, cause }];
        if !again.is_empty() {
            pieces.push(self.piece(choice, again, 0));
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A tokenizer of bytes: `a`, and the two bytes of `é`.
    fn bytes() -> Arc<Tokenizer> {
        let level = json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true,
        });
        let tokenizer = json!({
            "version": "1.0", "normalizer": null, "post_processor": null, "added_tokens": [],
            "pre_tokenizer": level, "decoder": level,
            "model": {"type": "BPE", "vocab": {"a": 0, "\u{c3}": 1, "\u{a9}": 2}, "merges": []},
        });
        let folder = std::env::temp_dir().join(format!("trimtab-places-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("tokenizer.json");
        std::fs::write(&file, tokenizer.to_string()).unwrap();
        let read = Tokenizer::from_file(&file);
        std::fs::remove_dir_all(&folder).unwrap();
        Arc::new(read.unwrap())
    }

    #[test]
    fn a_token_is_where_the_character_of_its_first_byte_is() {
        let mut unfolding = Unfolding::new(bytes());
        [0, 1, 2, 0, 1, 2].into_iter().for_each(|id| unfolding.push(id, None));
        assert_eq!(unfolding.text, "aéaé");
        let places = |steps: &[Token]| steps.iter().map(|token| token.at).collect::<Vec<_>>();
        assert_eq!(places(&unfolding.steps), [0, 1, 1, 2, 3, 3]);
        // Taken back in the middle of a character, it goes on there.
        unfolding.rewind(2);
        [2, 0].into_iter().for_each(|id| unfolding.push(id, None));
        assert_eq!(places(&unfolding.steps), [0, 1, 1, 2]);
    }
}
