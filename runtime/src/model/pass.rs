//! What every block of one pass reads: packed rows, caches, rotary tables.

use super::block::Block;
use super::packed::Packed;
use super::rope::RopeTable;
use crate::error::{Error, Result};
use crate::kv::KvCache;
use candle_core::Tensor;

/// What the blocks of one pass share.
pub(super) struct Scene<'a> {
    pub packed: &'a Packed,
    pub caches: &'a [&'a KvCache],
    pub ropes: &'a [RopeTable],
}

impl<'a> Scene<'a> {
    /// Keys and values of one layer.
    pub(super) fn pool(&self, layer: usize) -> Result<&'a Tensor> {
        let pool = self.caches.first().and_then(|c| c.pool().layer(layer));
        pool.ok_or(Error::Misuse("the key-value pool was made for a model with fewer blocks"))
    }

    /// The rotary table of one block.
    pub(super) fn rope(&self, block: &Block) -> Result<&'a RopeTable> {
        let table = self.ropes.get(block.rope);
        table.ok_or(Error::Misuse("a block names a rotary table that was not loaded"))
    }
}
