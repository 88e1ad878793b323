//! What rewinding has cost so far, and what was rejected.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Time that is never too much, so that short answers are not cut by noise.
const GRACE: Duration = Duration::from_secs(2);

/// The cost of a guard, and its memory of what it rejected.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Rewinds so far.
    pub(super) rewinds: u32,
    /// Tokens taken back so far.
    pub(super) discarded: usize,
    /// How often each span was rejected.
    rejected: BTreeMap<String, u32>,
    /// First tokens of rejected spans, by the place they stood at.
    bans: BTreeMap<usize, Vec<u32>>,
    began: Option<Instant>,
    asked: Option<Instant>,
    /// Time the model spent on reading for perceivers.
    reading: Duration,
    /// The longest the answer has been.
    longest: usize,
}

impl Ledger {
    pub(super) fn begin(&mut self, tokens: usize) {
        self.began.get_or_insert_with(Instant::now);
        self.longest = self.longest.max(tokens);
    }

    pub(super) fn ask(&mut self) {
        self.asked.get_or_insert_with(Instant::now);
    }

    pub(super) fn heard(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.reading += asked.elapsed();
        }
    }

    /// Whether the answer has taken longer than so many times what it would have without monitors, as far as tokens tell.
    pub(super) fn is_late(&self, factor: f64, tokens: usize) -> bool {
        let Some(elapsed) = self.began.map(|began| began.elapsed()) else { return false };
        let decoding = elapsed.saturating_sub(self.reading);
        let generated = (tokens + self.discarded).max(1);
        let plain = decoding.mul_f64(tokens.max(1) as f64 / generated as f64);
        elapsed > plain.mul_f64(factor) + GRACE
    }

    /// Notes a rejected span; says how often it has been rejected with this time.
    pub(super) fn reject(&mut self, from: usize, span: &[u32], hash: &str) -> u32 {
        self.discarded += span.len();
        if let Some(first) = span.first() {
            let bans = self.bans.entry(from).or_default();
            if !bans.contains(first) {
                bans.push(*first);
            }
        }
        let count = self.rejected.entry(hash.to_owned()).or_default();
        *count += 1;
        *count
    }

    /// How often a span was rejected so far.
    pub(super) fn rejections(&self, hash: &str) -> u32 {
        self.rejected.get(hash).copied().unwrap_or(0)
    }

    /// First tokens of all spans that were rejected at a place.
    pub(super) fn bans(&self, from: usize) -> Vec<u32> {
        self.bans.get(&from).cloned().unwrap_or_default()
    }

    /// Tokens generated for an answer of this length.
    pub(super) fn generated(&self, tokens: usize) -> usize {
        tokens + self.discarded
    }
}
