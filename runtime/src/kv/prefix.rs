//! Which published blocks hold a given prefix.

use super::BLOCK_LEN;
use crate::fingerprint::Fingerprint;
use std::collections::HashMap;
use std::ops::Range;

/// Identity of one full block: everything that its keys and values depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PrefixKey(Fingerprint);

impl PrefixKey {
    /// The keys of every full block of `tokens`.
    ///
    /// `space` is what the whole prefix depends on: model build, template, owner. `edits(positions)` is the
    /// fingerprint of the interventions that can touch those positions' keys and values. A block's key includes its
    /// predecessors', because attention carries an edit to every later position.
    pub fn chain(
        space: &Fingerprint,
        tokens: &[u32],
        edits: impl Fn(Range<usize>) -> Fingerprint,
    ) -> Vec<PrefixKey> {
        let mut last = *space;
        let blocks = tokens.chunks_exact(BLOCK_LEN).enumerate();
        blocks
            .map(|(i, block)| {
                last = Fingerprint::builder("trimtab.kv-block")
                    .nested(&last)
                    .nested(&edits(i * BLOCK_LEN..(i + 1) * BLOCK_LEN))
                    .tokens(block)
                    .finish();
                PrefixKey(last)
            })
            .collect()
    }
}

/// Published blocks by key, with the time of their last use.
#[derive(Debug, Default)]
pub(super) struct PrefixIndex {
    blocks: HashMap<PrefixKey, Entry>,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    block: u32,
    used: u64,
    /// Blocks before it in its prefix.
    depth: usize,
}

impl PrefixIndex {
    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = u32> {
        self.blocks.values().map(|entry| entry.block)
    }

    /// Begins a use: everything found or inserted until the next one is used at the same time.
    pub(super) fn tick(&mut self) {
        self.clock += 1;
    }

    /// Whether the block was new to the index.
    pub(super) fn insert(&mut self, key: PrefixKey, block: u32, depth: usize) -> bool {
        let used = self.clock;
        let mut new = false;
        let entry = self.blocks.entry(key).or_insert_with(|| {
            new = true;
            Entry { block, used, depth }
        });
        entry.used = used;
        new
    }

    pub(super) fn find(&mut self, key: &PrefixKey) -> Option<u32> {
        let entry = self.blocks.get_mut(key)?;
        entry.used = self.clock;
        Some(entry.block)
    }

    /// Removes the entry unused for longest among those whose block may go; of one prefix the last block first,
    /// because without its first block the rest cannot be found.
    pub(super) fn evict(&mut self, may_go: impl Fn(u32) -> bool) -> Option<u32> {
        let candidates = self.blocks.iter().filter(|(_, e)| may_go(e.block));
        let oldest = candidates.min_by_key(|(_, e)| (e.used, std::cmp::Reverse(e.depth)));
        let key = oldest.map(|(k, _)| *k)?;
        self.blocks.remove(&key).map(|e| e.block)
    }

    pub(super) fn drain(&mut self) -> Vec<u32> {
        self.blocks.drain().map(|(_, e)| e.block).collect()
    }
}
