//! SentencePiece BPE: characters merge pair by pair, the pair with the best score first.
//!
//! The order of ties (leftmost first), frozen user-defined pieces, unused pieces that fall apart again, byte
//! fallback and the folding of neighbouring unknowns follow the `sentencepiece` package, whose ids the golden
//! files hold. Control, unknown and byte pieces are never the product of a merge.

use super::special::Specials;
use super::vocab::SPACE;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

/// Whether a text gets a space in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prefix {
    Space,
    Nothing,
}

/// Whether a piece may stay in the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Stays,
    FallsApart,
}

/// A piece that text can become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) id: u32,
    pub(crate) score: f32,
    pub(crate) usage: Use,
}

/// What a character without a piece becomes.
#[derive(Debug)]
pub(crate) enum Fallback {
    /// One piece per byte.
    Bytes(Vec<u32>),
    /// One piece for a whole run of them.
    Unknown(u32),
}

#[derive(Debug)]
pub(crate) struct Spm {
    pub(crate) pieces: HashMap<String, Piece>,
    pub(crate) frozen: Specials,
    pub(crate) fallback: Fallback,
    pub(crate) prefix: Prefix,
}

#[derive(Debug, Clone, Copy)]
struct Symbol {
    start: usize,
    len: usize,
    before: Option<usize>,
    after: Option<usize>,
    frozen: Option<u32>,
}

/// A merge that was possible when it was queued.
#[derive(Debug, PartialEq)]
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    len: usize,
}

impl Eq for Pair {}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_score = self.score.total_cmp(&other.score);
        by_score.then_with(|| other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Spm {
    /// The ids of a text without control tokens.
    pub(crate) fn encode(&self, text: &str) -> Vec<u32> {
        if text.is_empty() {
            return Vec::new();
        }
        let mut spaced = String::with_capacity(text.len() + 3);
        if self.prefix == Prefix::Space {
            spaced.push(SPACE);
        }
        spaced.extend(text.chars().map(|c| if c == ' ' { SPACE } else { c }));
        Merger::new(self, &spaced).run()
    }
}

/// One text being merged.
struct Merger<'a> {
    spm: &'a Spm,
    text: &'a str,
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Pair>,
    /// Where the left half of a merged unused piece ends, to take it apart again.
    halves: HashMap<&'a str, usize>,
}

impl<'a> Merger<'a> {
    fn new(spm: &'a Spm, text: &'a str) -> Self {
        Self {
            spm,
            text,
            symbols: symbols(&spm.frozen, text),
            queue: BinaryHeap::new(),
            halves: HashMap::new(),
        }
    }

    fn run(mut self) -> Vec<u32> {
        for right in 1..self.symbols.len() {
            self.offer(Some(right - 1), Some(right));
        }
        while let Some(pair) = self.queue.pop() {
            self.merge(&pair);
        }
        let mut out = Output { ids: Vec::new(), last: Last::Known };
        let mut at = (!self.symbols.is_empty()).then_some(0);
        while let Some(symbol) = at.and_then(|at| self.symbols.get(at)) {
            self.emit(symbol, &mut out);
            at = symbol.after;
        }
        out.ids
    }

    fn offer(&mut self, left: Option<usize>, right: Option<usize>) {
        let (Some(left), Some(right)) = (left, right) else {
            return;
        };
        let (Some(a), Some(b)) = (self.symbols.get(left), self.symbols.get(right)) else {
            return;
        };
        if a.frozen.is_some() || b.frozen.is_some() {
            return;
        }
        let len = a.len + b.len;
        let Some(text) = self.text.get(a.start..a.start + len) else {
            return;
        };
        let Some(piece) = self.spm.pieces.get(text) else {
            return;
        };
        if piece.usage == Use::FallsApart {
            self.halves.insert(text, a.len);
        }
        self.queue.push(Pair { score: piece.score, left, right, len });
    }

    fn merge(&mut self, pair: &Pair) {
        let (Some(a), Some(b)) =
            (self.symbols.get(pair.left).copied(), self.symbols.get(pair.right).copied())
        else {
            return;
        };
        // A half that has merged elsewhere meanwhile is empty or longer.
        if a.len == 0 || b.len == 0 || a.len + b.len != pair.len {
            return;
        }
        if let Some(left) = self.symbols.get_mut(pair.left) {
            left.len = pair.len;
            left.after = b.after;
        }
        if let Some(right) = self.symbols.get_mut(pair.right) {
            right.len = 0;
        }
        if let Some(next) = b.after.and_then(|next| self.symbols.get_mut(next)) {
            next.before = Some(pair.left);
        }
        self.offer(a.before, Some(pair.left));
        self.offer(Some(pair.left), b.after);
    }

    fn emit(&self, symbol: &Symbol, out: &mut Output) {
        if let Some(id) = symbol.frozen {
            return out.known(id);
        }
        let mut open = vec![(symbol.start, symbol.len)];
        while let Some((start, len)) = open.pop() {
            let text = self.text.get(start..start + len).unwrap_or_default();
            let piece = self.spm.pieces.get(text);
            let half = piece
                .filter(|piece| piece.usage == Use::FallsApart)
                .and_then(|_| self.halves.get(text));
            match (half, piece) {
                (Some(half), _) => open.extend([(start + half, len - half), (start, *half)]),
                (None, Some(piece)) => out.known(piece.id),
                (None, None) => out.fall_back(text, &self.spm.fallback),
            }
        }
    }
}

/// What was written last: neighbouring unknown characters are one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Known,
    Unknown,
}

/// The ids so far.
struct Output {
    ids: Vec<u32>,
    last: Last,
}

impl Output {
    fn known(&mut self, id: u32) {
        self.ids.push(id);
        self.last = Last::Known;
    }

    fn fall_back(&mut self, text: &str, fallback: &Fallback) {
        match fallback {
            Fallback::Bytes(table) => {
                let ids = text.bytes().filter_map(|byte| table.get(usize::from(byte)));
                self.ids.extend(ids);
            }
            Fallback::Unknown(id) => {
                if self.last == Last::Known {
                    self.ids.push(*id);
                }
                self.last = Last::Unknown;
            }
        }
    }
}

fn symbols(frozen: &Specials, text: &str) -> Vec<Symbol> {
    let mut symbols: Vec<Symbol> = Vec::new();
    let mut start = 0;
    while let Some(c) = text.get(start..).and_then(|rest| rest.chars().next()) {
        let piece = frozen.longest_at(text, start, &|_| true);
        let len = piece.map_or(c.len_utf8(), |piece| piece.text.len());
        let index = symbols.len();
        symbols.push(Symbol {
            start,
            len,
            before: index.checked_sub(1),
            after: Some(index + 1),
            frozen: piece.map(|piece| piece.id),
        });
        start += len;
    }
    if let Some(last) = symbols.last_mut() {
        last.after = None;
    }
    symbols
}
