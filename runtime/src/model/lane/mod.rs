//! Where a pass's activations live and how its blocks compute there.
//!
//! The decoder's loop over blocks and sites is written once, over a [`Lane`]. On the CPU a pass is a few buffers that
//! every block uses again ([`host`]); elsewhere it is candle tensors ([`device`]).

pub(super) mod device;
pub(super) mod host;
#[cfg(test)]
mod tests;

use super::block::Block;
use super::linear::{Linear, RmsNorm, Weight};
use super::pass::Scene;
use super::row::{Reading, Scores};
use crate::error::{Error, Result};
use crate::kernels::add::RowAdd;
use crate::kernels::blocks::Span;
use candle_core::Tensor;
use std::ops::Range;

/// Where a block's result goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// It is added to the stream: nobody looks at it before.
    Stream,
    /// It stays apart until [`Lane::merge`].
    Branch,
}

/// The residual stream of a pass and what is about to be added to it.
pub(super) trait Lane {
    /// Fills the stream with the tokens' embeddings, times `scale`.
    fn embed(&mut self, embed: &Weight, tokens: &[u32], scale: f64) -> Result<()>;

    /// Fills the stream with rows of this width.
    // rows [n, width] -> stream [n, width]
    fn fill(&mut self, rows: &[f32], width: usize) -> Result<()>;

    /// What a block's attention adds to the stream.
    fn attend(&mut self, block: &Block, layer: usize, scene: &Scene, to: Target) -> Result<()>;

    /// A block's attention weights of the last token of one row, whose keys are in the cache already.
    // stream [Σtime, d_model] as the block got it -> [heads, seen]
    fn last_attention(
        &mut self,
        block: &Block,
        layer: usize,
        scene: &Scene,
        span: &Span,
    ) -> Result<Tensor> {
        let at = Error::tensor(format!("attention weights of block {layer}"));
        let x = self.stream().read(span.rows.end - 1..span.rows.end).map_err(at)?;
        device::last_attention(block, layer, &x, scene, span)
    }

    /// What a block's MLP adds to the stream.
    fn mlp(&mut self, block: &Block, to: Target) -> Result<()>;

    /// Adds to the stream what stayed apart.
    fn merge(&mut self) -> Result<()>;

    /// Normalises the stream.
    fn norm(&mut self, norm: &RmsNorm) -> Result<()>;

    /// The stream.
    fn stream(&mut self) -> &mut dyn Stream;

    /// What stayed apart.
    fn branch(&mut self) -> &mut dyn Stream;

    /// Leaves only these rows in the stream.
    // stream [rows, d_model] -> [wanted, d_model]
    fn keep(&mut self, wanted: &[u32]) -> Result<()>;

    /// Logits of every row in the stream.
    // -> [rows, vocab]
    fn score(&mut self, layer: &OutputLayer, reading: Reading) -> Result<Scores>;
}

/// The output matrix and what is done to its logits.
pub(super) struct OutputLayer<'a> {
    pub linear: &'a Linear,
    pub softcap: Option<f64>,
}

/// Packed rows at a site: `[Σtime, d_model]`.
pub(super) trait Stream {
    /// Adds constant vectors to ranges of rows.
    fn add(&mut self, adds: &[RowAdd]) -> candle_core::Result<()>;

    /// A copy of some rows, whose memory nobody else holds.
    // -> [rows, d_model]
    fn read(&self, rows: Range<usize>) -> candle_core::Result<Tensor>;

    /// Replaces ranges of rows, in rising order.
    // edits of [rows, d_model]
    fn replace(&mut self, edits: Vec<(Range<usize>, Tensor)>) -> candle_core::Result<()>;
}
