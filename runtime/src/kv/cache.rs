//! One sequence's keys and values.

use super::pool::KvPool;
use super::{BLOCK_LEN, PrefixKey};
use crate::error::{Error, Result};
use std::sync::Arc;

/// A list of blocks and a length. Append-only, rewound by [`truncate`](Self::truncate), not `Clone`.
///
/// ```compile_fail
/// fn clone_it(cache: trimtab_runtime::kv::KvCache) -> trimtab_runtime::kv::KvCache {
///     cache.clone()
/// }
/// ```
#[derive(Debug)]
pub struct KvCache {
    pool: KvPool,
    blocks: Vec<u32>,
    len: usize,
}

impl KvCache {
    pub(super) fn new(pool: KvPool) -> Self {
        KvCache { pool, blocks: Vec::new(), len: 0 }
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pool it lives in.
    pub fn pool(&self) -> &KvPool {
        &self.pool
    }

    /// Rewinds to the first `len` tokens; longer than the cache is an error. Blocks past the end are returned.
    pub fn truncate(&mut self, len: usize) -> Result<()> {
        if len > self.len {
            return Err(Error::Misuse("a cache cannot be truncated to more than it holds"));
        }
        self.len = len;
        self.give_back(len.div_ceil(BLOCK_LEN));
        Ok(())
    }

    /// A cache with the same tokens. Blocks are shared; the first cache to write into one copies it.
    pub fn fork(&self) -> KvCache {
        // Blocks behind the end were reserved by a pass that failed: no other cache may write into them.
        let held = &self.blocks[..self.len.div_ceil(BLOCK_LEN).min(self.blocks.len())];
        let mut state = self.pool.lock();
        held.iter().for_each(|b| state.hold(*b));
        KvCache { pool: self.pool.clone(), blocks: held.to_vec(), len: self.len }
    }

    /// Offers the full blocks of this cache to later sequences that begin with the same tokens.
    ///
    /// `keys` are those of the cache's first blocks, from [`PrefixKey::chain`].
    pub fn publish(&self, keys: &[PrefixKey]) {
        let mut state = self.pool.lock();
        state.prefixes.tick();
        let blocks = self.blocks.iter().take(self.len / BLOCK_LEN);
        for (depth, (key, block)) in keys.iter().zip(blocks).enumerate() {
            if state.prefixes.insert(*key, *block, depth) {
                state.hold(*block);
            }
        }
    }

    /// Fills an empty cache with the longest published prefix of these keys; says how many tokens that is.
    pub fn adopt(&mut self, keys: &[PrefixKey]) -> Result<usize> {
        if !self.blocks.is_empty() {
            return Err(Error::Misuse("only an empty cache can adopt a prefix"));
        }
        let mut state = self.pool.lock();
        for key in keys {
            let Some(block) = state.prefixes.find(key) else {
                break;
            };
            state.hold(block);
            self.blocks.push(block);
        }
        self.len = self.blocks.len() * BLOCK_LEN;
        Ok(self.len)
    }

    /// Blocks that a pass of `extra` more tokens takes from the pool.
    pub(crate) fn wants(&self, extra: usize) -> usize {
        let grown = (self.len + extra).div_ceil(BLOCK_LEN).saturating_sub(self.blocks.len());
        let partial = self.blocks.get(self.len / BLOCK_LEN).filter(|_| extra > 0);
        let copied = partial.is_some_and(|block| self.pool.lock().is_shared(*block));
        grown + usize::from(copied)
    }

    /// Makes room for `extra` tokens in blocks that no other cache holds. On error nothing has changed.
    pub(crate) fn reserve(&mut self, extra: usize) -> Result<()> {
        if extra == 0 {
            return Ok(());
        }
        let had = self.blocks.len();
        while self.blocks.len() * BLOCK_LEN < self.len + extra {
            let taken = self.pool.lock().take();
            let Some(block) = taken else {
                self.give_back(had);
                return Err(self.pool.full());
            };
            self.blocks.push(block);
        }
        self.own_last_partial().inspect_err(|_| self.give_back(had))
    }

    /// The block that holds position `len` may be shared by a fork or a published prefix: copy before writing.
    fn own_last_partial(&mut self) -> Result<()> {
        let at = self.len / BLOCK_LEN;
        let Some(&block) = self.blocks.get(at).filter(|_| !self.len.is_multiple_of(BLOCK_LEN))
        else {
            return Ok(());
        };
        let own = {
            let mut state = self.pool.lock();
            if !state.is_shared(block) {
                return Ok(());
            }
            state.take().ok_or_else(|| self.pool.full())?
        };
        let copied = self.pool.copy_block(block, own);
        let mut state = self.pool.lock();
        if copied.is_err() {
            state.release(own);
            return copied;
        }
        state.release(block);
        drop(state);
        if let Some(slot) = self.blocks.get_mut(at) {
            *slot = own;
        }
        Ok(())
    }

    /// Gives back blocks that a failed pass reserved.
    pub(crate) fn release_reserve(&mut self) {
        self.give_back(self.len.div_ceil(BLOCK_LEN));
    }

    /// Counts `time` tokens that a pass has written.
    pub(crate) fn commit(&mut self, time: usize) {
        self.len += time;
    }

    pub(crate) fn blocks(&self) -> Arc<[u32]> {
        self.blocks.as_slice().into()
    }

    fn give_back(&mut self, keep: usize) {
        let mut state = self.pool.lock();
        for block in self.blocks.drain(keep.min(self.blocks.len())..) {
            state.release(block);
        }
    }
}

impl Drop for KvCache {
    fn drop(&mut self) {
        self.give_back(0);
    }
}
