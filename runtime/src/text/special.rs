//! Finding special tokens in text: the leftmost, and of those the longest.
//!
//! The caller says which places are allowed, which is how a rendered prompt keeps control tokens out of what
//! a user wrote. A match may swallow the white space beside it, as `tokenizer.json` files ask for some
//! entries; swallowed space is dropped, never recognised.

use std::collections::HashMap;
use std::ops::Range;

/// White space that a special token swallows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strip {
    Nothing,
    Left,
    Right,
    Both,
}

/// Where a special token may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Anywhere,
    /// Not beside a letter or digit.
    WholeWord,
}

#[derive(Debug, Clone)]
pub(crate) struct Special {
    pub(crate) text: String,
    pub(crate) id: u32,
    pub(crate) strip: Strip,
    pub(crate) standing: Standing,
}

impl Special {
    /// One that swallows nothing and stands anywhere.
    pub(crate) fn plain(text: &str, id: u32) -> Self {
        Self { text: text.to_owned(), id, strip: Strip::Nothing, standing: Standing::Anywhere }
    }
}

/// A special token in a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) id: u32,
    /// The bytes it takes out of the text, swallowed space included.
    pub(crate) taken: Range<usize>,
}

/// A set of special tokens.
#[derive(Debug, Default)]
pub(crate) struct Specials {
    by_text: HashMap<String, Special>,
    /// By first byte: the lengths that occur, longest first.
    lengths: HashMap<u8, Vec<usize>>,
}

impl Specials {
    pub(crate) fn new(entries: impl IntoIterator<Item = Special>) -> Self {
        let mut set = Self::default();
        for special in entries {
            let Some(first) = special.text.bytes().next() else {
                continue;
            };
            let lengths = set.lengths.entry(first).or_default();
            if !lengths.contains(&special.text.len()) {
                lengths.push(special.text.len());
                lengths.sort_unstable_by(|a, b| b.cmp(a));
            }
            set.by_text.entry(special.text.clone()).or_insert(special);
        }
        set
    }

    /// The texts, in no order.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.by_text.keys().map(String::as_str)
    }

    /// The longest token that starts exactly at `at`.
    pub(crate) fn longest_at(
        &self,
        text: &str,
        at: usize,
        allowed: &impl Fn(Range<usize>) -> bool,
    ) -> Option<&Special> {
        let first = text.as_bytes().get(at)?;
        self.lengths.get(first)?.iter().find_map(|len| {
            let special = self.by_text.get(text.get(at..at + len)?)?;
            (allowed(at..at + len) && stands(special, text, at)).then_some(special)
        })
    }

    /// All tokens of a text in order, none overlapping another.
    pub(crate) fn find(&self, text: &str, allowed: impl Fn(Range<usize>) -> bool) -> Vec<Found> {
        let mut found = Vec::new();
        let mut free = 0;
        let mut at = 0;
        while at < text.len() {
            let Some(special) = self.longest_at(text, at, &allowed) else {
                at += 1;
                continue;
            };
            let taken = swallow(special, text, at, free);
            at = taken.end;
            free = taken.end;
            found.push(Found { id: special.id, taken });
        }
        found
    }
}

fn stands(special: &Special, text: &str, at: usize) -> bool {
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let before = text.get(..at).and_then(|s| s.chars().next_back());
    let after = text.get(at + special.text.len()..).and_then(|s| s.chars().next());
    special.standing == Standing::Anywhere || !(word(before) || word(after))
}

fn swallow(special: &Special, text: &str, at: usize, free: usize) -> Range<usize> {
    let end = at + special.text.len();
    let left = text.get(free..at).map_or(at, |s| free + s.trim_end().len());
    let right = text.get(end..).map_or(end, |s| text.len() - s.trim_start().len());
    match special.strip {
        Strip::Nothing => at..end,
        Strip::Left => left..end,
        Strip::Right => at..right,
        Strip::Both => left..right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> Specials {
        let mut wide = Special::plain("<w>", 3);
        wide.strip = Strip::Both;
        let mut word = Special::plain("<k>", 4);
        word.standing = Standing::WholeWord;
        Specials::new([Special::plain("<a>", 1), Special::plain("<a>b", 2), wide, word])
    }

    fn ids(text: &str) -> Vec<(u32, Range<usize>)> {
        let found = set().find(text, |_| true);
        found.into_iter().map(|f| (f.id, f.taken)).collect()
    }

    #[test]
    fn the_longest_wins() {
        assert_eq!(ids("é<a>bc<a>"), vec![(2, 2..6), (1, 7..10)]);
    }

    #[test]
    fn space_is_swallowed_where_asked() {
        assert_eq!(ids("x <w> \n<a> "), vec![(3, 1..7), (1, 7..10)]);
    }

    #[test]
    fn a_word_token_needs_room() {
        assert_eq!(ids("x<k> <k>"), vec![(4, 5..8)]);
    }

    #[test]
    fn forbidden_places_are_passed_over() {
        let found = set().find("<a><a>", |range| range.start > 0);
        assert_eq!(found, vec![Found { id: 1, taken: 3..6 }]);
    }
}
