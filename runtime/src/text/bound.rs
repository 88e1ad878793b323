//! How few tokens a text can have: found by counting its bytes, without tokenising it.
//!
//! A token that is `n` bytes long covers `n` bytes. So if no token with the byte `b` in it is longer than `L(b)`, each
//! `b` of a text is worth at least `1 / L(b)` tokens, and the sum over all bytes never exceeds the number of tokens:
//! a token's own bytes add up to one at most. A digit is worth a whole token where digits stand alone, a letter a
//! tenth or so, a space little, because of tokens for long runs of spaces.
//!
//! Bytes that may leave no trace are worth nothing: those that become an unknown token, of which a run is one, those
//! that a normaliser drops, and white space where special tokens swallow it.

use super::vocab::{Kind, SPACE, SPACE_TEXT, Spelling, Vocabulary};
use std::borrow::Cow;

/// One token, in the unit that bytes are counted in.
const ONE: u64 = 1 << 32;
/// Canonical composition shortens UTF-8 by a factor of 3.5 at most (U+1FBE U+0308 U+0301, 7 bytes,
/// become U+0390, 2 bytes).
const NFC_SHRINKS: u64 = 4;

/// What happens to a text before it is cut into tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Changes {
    /// Nothing, or it gets longer. Spaces may be spelled as U+2581.
    None,
    Nfc,
    /// What is not known here; no text has a bound.
    Any,
}

/// Whether white space beside special tokens is swallowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blanks {
    Stay,
    Vanish,
}

/// What each byte is worth.
#[derive(Debug)]
pub(crate) struct Bound {
    bytes: [u64; 256],
    /// What a byte is worth that composition may change into others.
    changed: u64,
    changes: Changes,
}

impl Bound {
    pub(crate) fn new(
        vocabulary: &Vocabulary,
        spelling: Spelling,
        (changes, blanks): (Changes, Blanks),
    ) -> Bound {
        let mut longest = [0_usize; 256];
        for (id, text, kind) in vocabulary.iter() {
            let marked = marked(text, spelling);
            let spelled = match (kind, spelling) {
                (Kind::Control | Kind::Unknown, _) => continue,
                (Kind::Byte, _) | (_, Spelling::ByteLevel) => vocabulary.bytes(id),
                // A text may hold the mark itself, which is longer than the space it stands for.
                (_, Spelling::SentencePiece) => Some(marked.as_bytes()),
            };
            let spelled = spelled.unwrap_or_default();
            let space = marked.contains(SPACE).then_some(&b' ');
            for byte in spelled.iter().chain(space) {
                if let Some(slot) = longest.get_mut(usize::from(*byte)) {
                    *slot = (*slot).max(spelled.len());
                }
            }
        }
        let most = longest.iter().copied().max().unwrap_or_default();
        let kept = kept(vocabulary, spelling);
        let mut bytes = [0; 256];
        for (byte, worth) in (u8::MIN..=u8::MAX).zip(&mut bytes) {
            let at = usize::from(byte);
            let vanishes = blanks == Blanks::Vanish
                && (byte.is_ascii_whitespace() || !byte.is_ascii() || byte == 0x0b);
            let counts = changes != Changes::Any && !vanishes && kept.get(at) == Some(&true);
            *worth = longest.get(at).filter(|_| counts).map_or(0, |longest| share(*longest as u64));
        }
        // One byte that can vanish spoils all that others may be changed into. These are in no UTF-8.
        let absent = |byte: usize| matches!(byte, 0xc0 | 0xc1 | 0xf5..);
        let firm = bytes.iter().enumerate().all(|(byte, worth)| *worth > 0 || absent(byte));
        let changed = if firm { share(most as u64 * NFC_SHRINKS) } else { 0 };
        Bound { bytes, changed, changes }
    }

    /// The fewest tokens of a text that consists of these pieces and perhaps of others.
    pub(crate) fn fewest<'a>(&self, pieces: impl Iterator<Item = &'a str>) -> usize {
        let worth =
            pieces.fold(0_u64, |sum, piece| sum.saturating_add(self.worth(piece.as_bytes())));
        usize::try_from(worth.div_ceil(ONE)).unwrap_or(usize::MAX)
    }

    fn worth(&self, piece: &[u8]) -> u64 {
        let own = |byte: &u8| self.bytes.get(usize::from(*byte)).copied().unwrap_or_default();
        if self.changes != Changes::Nfc {
            return piece.iter().map(own).fold(0, u64::saturating_add);
        }
        // ASCII composes with what follows it only, and never with ASCII.
        let next = piece.iter().skip(1).map(u8::is_ascii).chain([false]);
        let bytes = piece.iter().zip(next);
        let worth = |(byte, before_ascii): (&u8, bool)| match byte.is_ascii() && before_ascii {
            true => own(byte),
            false => own(byte).min(self.changed),
        };
        bytes.map(worth).fold(0, u64::saturating_add)
    }
}

/// A piece as an encoder meets it, with spaces as U+2581 where the spelling has them so: some files write them as spaces.
fn marked(text: &str, spelling: Spelling) -> Cow<'_, str> {
    match spelling {
        Spelling::SentencePiece if text.contains(' ') => text.replace(' ', SPACE_TEXT).into(),
        Spelling::SentencePiece | Spelling::ByteLevel => text.into(),
    }
}

/// A token's share, rounded down.
fn share(bytes: u64) -> u64 {
    ONE.checked_div(bytes).unwrap_or_default()
}

/// The bytes that always end up in a token of their own text, whatever stands around them.
fn kept(vocabulary: &Vocabulary, spelling: Spelling) -> [bool; 256] {
    let mut kept = [false; 256];
    let mut raw = [false; 256];
    for (id, text, kind) in vocabulary.iter() {
        let one = match (kind, spelling) {
            (Kind::Control | Kind::Unknown, _) => None,
            (Kind::Byte, _) => {
                let byte = vocabulary.bytes(id).and_then(<[u8]>::first);
                if let Some(slot) = byte.and_then(|byte| raw.get_mut(usize::from(*byte))) {
                    *slot = true;
                }
                None
            }
            (_, Spelling::ByteLevel) => vocabulary.bytes(id).filter(|bytes| bytes.len() == 1),
            (_, Spelling::SentencePiece) if marked(text, spelling) == SPACE_TEXT => Some(&b" "[..]),
            (_, Spelling::SentencePiece) => Some(text.as_bytes()).filter(|bytes| bytes.len() == 1),
        };
        if let Some(slot) = one.and_then(|one| kept.get_mut(usize::from(*one.first()?))) {
            *slot = true;
        }
    }
    // Characters without a piece are spelled by bytes where there are all of them.
    if raw.iter().all(|there| *there) { raw } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(tokens: &[&str], changes: Changes, blanks: Blanks) -> Bound {
        let entries = tokens.iter().map(|text| ((*text).to_owned(), Kind::Normal)).collect();
        let vocabulary = Vocabulary::new(entries, Spelling::SentencePiece);
        Bound::new(&vocabulary, Spelling::SentencePiece, (changes, blanks))
    }

    fn fewest(bound: &Bound, text: &str) -> usize {
        bound.fewest(std::iter::once(text))
    }

    const LETTERS: [&str; 6] = ["a", "b", "1", "abab", "\u{2581}", "\u{2581}\u{2581}"];

    #[test]
    fn a_byte_is_worth_its_part_of_the_longest_token_with_it() {
        let bound = bound(&LETTERS, Changes::None, Blanks::Stay);
        assert_eq!(fewest(&bound, ""), 0);
        assert_eq!(fewest(&bound, "1111111"), 7);
        assert_eq!(fewest(&bound, &"ab".repeat(100)), 50);
        // Two marks are six bytes, and as spaces two.
        assert_eq!(fewest(&bound, &" ".repeat(60)), 10);
        // No token has it, so a run of them is one unknown token.
        assert_eq!(fewest(&bound, &"x".repeat(100)), 0);
        assert_eq!(bound.fewest(["11", "x", "1"].into_iter()), 3);
    }

    #[test]
    fn spaces_in_a_piece_are_measured_as_the_marks_that_they_are_met_as() {
        let alphabet = (0..=255).map(|byte| (format!("<0x{byte:02X}>"), Kind::Byte));
        let run = " ".repeat(16);
        let entries = alphabet.chain([(run.clone(), Kind::UserDefined)]).collect();
        let vocabulary = Vocabulary::new(entries, Spelling::SentencePiece);
        let stays = (Changes::None, Blanks::Stay);
        let bound = Bound::new(&vocabulary, Spelling::SentencePiece, stays);
        assert_eq!(fewest(&bound, &"\u{2581}".repeat(16)), 1);
        assert_eq!((fewest(&bound, &run), fewest(&bound, "aa")), (1, 2));
    }

    #[test]
    fn what_may_vanish_is_worth_nothing() {
        let swallowed = bound(&LETTERS, Changes::None, Blanks::Vanish);
        assert_eq!(fewest(&swallowed, &" ".repeat(100)), 0);
        assert_eq!(fewest(&swallowed, "111"), 3);
        let unknown = bound(&LETTERS, Changes::Any, Blanks::Stay);
        assert_eq!(fewest(&unknown, "111"), 0);
    }

    #[test]
    fn what_composition_may_change_is_worth_little() {
        let alphabet: Vec<String> = (0..=255).map(|byte| format!("<0x{byte:02X}>")).collect();
        let mut entries: Vec<(String, Kind)> =
            alphabet.into_iter().map(|text| (text, Kind::Byte)).collect();
        entries.push(("\u{390}".to_owned(), Kind::Normal));
        let vocabulary = Vocabulary::new(entries, Spelling::SentencePiece);
        let bound = Bound::new(&vocabulary, Spelling::SentencePiece, (Changes::Nfc, Blanks::Stay));
        assert_eq!(fewest(&bound, "11111"), 5);
        // Seven bytes that become one token of two.
        assert_eq!(fewest(&bound, "\u{1fbe}\u{308}\u{301}"), 1);
        // The digit may compose with what follows it.
        assert_eq!(fewest(&bound, "1\u{301}"), 1);
    }
}
