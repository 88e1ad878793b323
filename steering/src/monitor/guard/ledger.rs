//! What rewinding has cost so far, and what was rejected.

use std::collections::BTreeMap;

/// Tokens that are never too many, so that the first rewinds of a short answer fit.
const GRACE: f64 = 256.0;
/// How many tokens a model reads in the time it takes to make one. Time is counted in tokens, so that an answer comes out
/// the same on a busy machine, and the same again when it is replayed.
const READS: f64 = 5.0;

/// The cost of a guard, and its memory of what it rejected.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) rewinds: u32,
    /// Tokens taken back so far.
    pub(super) discarded: usize,
    /// How often each span was rejected at its place: short spans are equal elsewhere without being the same mistake.
    rejected: BTreeMap<(usize, String), u32>,
    /// First tokens of rejected spans, by the place they stood at.
    bans: BTreeMap<usize, Vec<u32>>,
}

impl Ledger {
    /// Whether an answer of which so many tokens stay, and so many more go, with so many read by perceivers, would have
    /// cost more than so many times its plain self.
    pub(super) fn is_dear(&self, factor: f64, (stay, go): (usize, usize), read: usize) -> bool {
        let extra = (self.discarded + go) as f64 + read as f64 / READS;
        extra > (factor - 1.0) * stay as f64 + GRACE
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
        let count = self.rejected.entry((from, hash.to_owned())).or_default();
        *count += 1;
        *count
    }

    /// How often a span was rejected at a place so far.
    pub(super) fn rejections(&self, from: usize, hash: &str) -> u32 {
        self.rejected.get(&(from, hash.to_owned())).copied().unwrap_or(0)
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
