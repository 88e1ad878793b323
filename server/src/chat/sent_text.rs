//! One answer as its client has it: the text and tokens that were sent, in their pieces.
//!
//! Where text is taken back inside a piece, the piece is taken back whole and its beginning sent again, so that a client
//! that drops pieces is left with the right text.

use super::update::{ChoiceUpdate, Token};
use crate::steer::Cause;
use trimtab_runtime::generate::ShownToken;
use trimtab_runtime::sample::Step;

/// One answer as its client has it.
#[derive(Default)]
pub(super) struct SentText {
    text: String,
    /// Characters of the text.
    characters: usize,
    tokens: Vec<Token>,
    /// The number of each piece's first token, and where its text begins.
    pieces: Vec<(usize, usize)>,
}

impl SentText {
    /// Tokens that were sent.
    pub(super) fn tokens(&self) -> usize {
        self.tokens.len()
    }

    /// Text that may be shown, and the tokens that begin in it.
    pub(super) fn show(
        &mut self,
        choice: usize,
        text: String,
        tokens: Vec<ShownToken>,
    ) -> ChoiceUpdate {
        let (mut at, mut read) = (self.characters, 0);
        let token = |ShownToken { begin, step }| {
            at += text.get(read..begin).map_or(0, |more| more.chars().count());
            read = begin;
            Token { step, at }
        };
        let tokens = tokens.into_iter().map(token).collect();
        self.piece(choice, text, tokens)
    }

    /// Tokens without text behind the last that has some.
    pub(super) fn rest(
        &mut self,
        choice: usize,
        steps: impl Iterator<Item = Option<Step>>,
    ) -> ChoiceUpdate {
        let at = self.characters;
        let tokens = steps.map(|step| Token { step, at }).collect();
        self.piece(choice, String::new(), tokens)
    }

    fn piece(&mut self, choice: usize, text: String, tokens: Vec<Token>) -> ChoiceUpdate {
        let first = self.tokens.len();
        self.pieces.push((first, self.text.len()));
        self.text.push_str(&text);
        self.characters += text.chars().count();
        self.tokens.extend_from_slice(&tokens);
        ChoiceUpdate::Text { choice, text, first, tokens }
    }

    /// Takes back the text from a byte on: every piece with some of it, and what those had before it again.
    pub(super) fn retract(
        &mut self,
        choice: usize,
        bytes: usize,
        cause: Cause,
    ) -> Vec<ChoiceUpdate> {
        let ends = |at: usize| self.pieces.get(at + 1).map_or(self.text.len(), |next| next.1);
        let touched = (0..self.pieces.len()).find(|at| ends(*at) > bytes);
        let Some(&(from, _)) = touched.and_then(|at| self.pieces.get(at)) else {
            return Vec::new();
        };
        // Pieces are dropped by number, and a piece of text alone has the number of the token behind it.
        let first = self.pieces.iter().position(|(number, _)| *number >= from).unwrap_or_default();
        let begin = self.pieces.get(first).map_or(0, |piece| piece.1);
        self.pieces.truncate(first);
        let again = self.text.get(begin..bytes).unwrap_or_default().to_owned();
        self.text.truncate(begin);
        self.characters = self.text.chars().count();
        let stay = self.characters + again.chars().count();
        let mut tokens = self.tokens.split_off(from);
        tokens.retain(|token| token.at < stay);
        let mut updates =
            vec![ChoiceUpdate::Retracted { choice, bytes: begin, tokens: from, cause }];
        if !again.is_empty() {
            updates.push(self.piece(choice, again, tokens));
        }
        updates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(begin: usize) -> ShownToken {
        ShownToken { begin, step: None }
    }

    fn sent(update: &ChoiceUpdate) -> (&str, usize, Vec<usize>) {
        let ChoiceUpdate::Text { text, first, tokens, .. } = update else { panic!("no text") };
        (text, *first, tokens.iter().map(|token| token.at).collect())
    }

    #[test]
    fn a_piece_is_taken_back_whole_and_its_beginning_sent_again() {
        let mut answer = SentText::default();
        // The two bytes of é are two tokens, which begin where it does.
        let first = answer.show(0, "aéa".to_owned(), vec![token(0), token(1), token(1), token(3)]);
        assert_eq!(sent(&first), ("aéa", 0, vec![0, 1, 1, 2]));
        let second = answer.show(0, "éb".to_owned(), vec![token(0), token(2)]);
        assert_eq!(sent(&second), ("éb", 4, vec![3, 4]));
        let updates = answer.retract(0, 6, Cause::default());
        let [ChoiceUpdate::Retracted { bytes: 4, tokens: 4, .. }, again] = updates.as_slice()
        else {
            panic!("{} updates", updates.len());
        };
        assert_eq!(sent(again), ("é", 4, vec![3]));
        assert_eq!(sent(&answer.show(0, "c".to_owned(), vec![token(0)])), ("c", 5, vec![4]));
        let updates = answer.retract(0, 0, Cause::default());
        assert!(matches!(
            updates.as_slice(),
            [ChoiceUpdate::Retracted { bytes: 0, tokens: 0, .. }]
        ));
        assert_eq!((answer.tokens(), answer.characters), (0, 0));
    }
}
