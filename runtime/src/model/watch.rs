//! Attention weights that rows asked to read.

use super::block::{Block, Scene};
use super::row::Row;
use crate::error::Result;
use candle_core::Tensor;
use std::collections::BTreeMap;

/// What every row wants and what was found.
pub(super) struct Watch {
    wanted: Vec<Vec<usize>>,
    /// Per row, `[heads, seen]` by block.
    pub(super) found: Vec<BTreeMap<usize, Tensor>>,
}

impl Watch {
    pub(super) fn new(rows: &[Row<'_>]) -> Self {
        Watch {
            wanted: rows.iter().map(|r| r.want.attention.clone()).collect(),
            found: vec![BTreeMap::new(); rows.len()],
        }
    }

    /// Reads a block's weights for the rows that want them, once its keys are in the caches.
    // stream [Σtime, d_model] as the block got it
    pub(super) fn read(
        &mut self,
        layer: usize,
        block: &Block,
        stream: &Tensor,
        scene: &Scene,
    ) -> Result<()> {
        let rows = self.wanted.iter().zip(&mut self.found).enumerate();
        for (row, (_, found)) in rows.filter(|(_, (wanted, _))| wanted.contains(&layer)) {
            found.insert(layer, block.last_attention(layer, stream, scene, row)?);
        }
        Ok(())
    }
}
