//! Attention weights that rows asked to read.

use super::block::Block;
use super::lane::Lane;
use super::pass::Scene;
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

    /// Whether some row wants this block's weights.
    pub(super) fn wants(&self, layer: usize) -> bool {
        self.wanted.iter().any(|wanted| wanted.contains(&layer))
    }

    /// Reads a block's weights for the rows that want them, once its keys are in the caches.
    // stream [Σtime, d_model] as the block got it
    pub(super) fn read(
        &mut self,
        layer: usize,
        block: &Block,
        lane: &mut impl Lane,
        scene: &Scene,
    ) -> Result<()> {
        for (span, (wanted, found)) in
            scene.packed.spans.iter().zip(self.wanted.iter().zip(&mut self.found))
        {
            if wanted.contains(&layer) {
                found.insert(layer, lane.last_attention(block, layer, scene, span)?);
            }
        }
        Ok(())
    }
}
