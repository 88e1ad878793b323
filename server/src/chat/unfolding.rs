//! One answer as it unfolds: which of its text and tokens were sent.
//!
//! A token and its text do not come together: characters may take several tokens, and text that could become a stop
//! text is held back. A token belongs to the piece with the first byte of its text, so that the tokens of all pieces are
//! those of the answer. Where text is taken back inside a piece, the piece is taken back whole and its beginning sent
//! again, so that whoever drops pieces is left with the right text.

use super::pieces::Piece;
use crate::wire::receipt::Receipt;
use std::sync::Arc;
use std::time::Instant;
use trimtab_runtime::sample::Step;
use trimtab_runtime::text::{TextStream, Tokenizer};

/// One answer as it unfolds.
pub(super) struct Unfolding {
    stream: TextStream,
    /// The text of all tokens so far, shown or not.
    text: String,
    /// How each token was chosen; inserted ones were not.
    steps: Vec<Option<Step>>,
    /// Text that was sent.
    sent: String,
    /// The pieces that were sent: the number of each one's first token, and where its text begins.
    pieces: Vec<(usize, usize)>,
    /// Tokens that were sent.
    delivered: usize,
    /// How often it was rewound.
    pub(super) rewinds: u32,
    /// When the newest token came.
    pub(super) newest: Option<Instant>,
    /// Prompt tokens that were there already.
    pub(super) cached: usize,
    pub(super) receipt: Option<Receipt>,
}

impl Unfolding {
    pub(super) fn new(tokenizer: Arc<Tokenizer>) -> Unfolding {
        Unfolding {
            stream: TextStream::new(tokenizer),
            text: String::new(),
            steps: Vec::new(),
            sent: String::new(),
            pieces: Vec::new(),
            delivered: 0,
            rewinds: 0,
            newest: None,
            cached: 0,
            receipt: None,
        }
    }

    pub(super) fn push(&mut self, token: u32, step: Option<Step>) {
        self.text.push_str(self.stream.push(token));
        self.steps.push(step);
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
    fn due(&mut self, at_least: usize) -> Vec<Option<Step>> {
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
        self.steps.truncate(tokens);
        self.delivered = self.delivered.min(tokens);
    }

    /// Forgets tokens that were rewound.
    pub(super) fn rewind(&mut self, tokens: usize) {
        self.forget(tokens);
        self.rewinds += 1;
    }

    /// Takes back the text from a byte on: every piece with some of it, and what those had before it again.
    pub(super) fn retract(
        &mut self,
        choice: usize,
        bytes: usize,
        watch: Option<String>,
    ) -> Vec<Piece> {
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
        let attempt = Some(self.rewinds + 1);
        let mut pieces =
            vec![Piece::Retracted { choice, bytes: begin, tokens: from, attempt, watch }];
        if !again.is_empty() {
            pieces.push(self.piece(choice, again, 0));
        }
        pieces
    }
}
