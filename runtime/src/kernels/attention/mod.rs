//! Causal attention of packed rows over the blocks of their own caches.
//!
//! Keys are visited in chunks whose borders are absolute positions. Inside a chunk a query's score sums one dimension
//! after another, its weighted sum one value after another, from the oldest it sees on; chunks are joined in their
//! order. So a query's bits depend neither on the queries that share the loads with it, nor on where its keys lie,
//! nor on how its prompt was cut into passes, nor on how many threads share its chunks. Nothing of size time × time
//! is made: a tile of queries holds the scores of one chunk.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod host;
mod lanes;
mod scratch;
#[cfg(test)]
mod tests;
mod tile;

pub(crate) use host::HeadStep;

#[cfg(not(target_arch = "x86_64"))]
use super::blocks::Stored as Element;
/// What keys and values can be kept as.
#[cfg(target_arch = "x86_64")]
use avx512::Loaded as Element;

use super::blocks::{Span, gather};
use super::qk_norm_rope::HeadShape;
use candle_core::{D, Result, Tensor};
use std::ops::Range;

/// The shape of the heads and the rules of one layer.
#[derive(Debug, Clone)]
pub(crate) struct Attention {
    /// Heads.
    pub shape: HeadShape,
    /// Factor on q·k.
    pub scale: f32,
    /// Soft cap on scores.
    pub softcap: Option<f32>,
    /// Positions a query sees, its own included.
    pub window: Option<usize>,
}

impl Attention {
    // qkv [Σtime, row], pool [blocks, 2, kv_heads, dim·BLOCK_LEN] -> [Σtime, heads·dim]
    pub(crate) fn forward(&self, qkv: &Tensor, pool: &Tensor, spans: &[Span]) -> Result<Tensor> {
        if qkv.device().is_cpu() {
            return qkv.contiguous()?.apply_op2_no_bwd(pool, &host::Paged { rules: self, spans });
        }
        self.forward_with_candle(qkv, pool, spans)
    }

    // as `forward`
    fn forward_with_candle(&self, qkv: &Tensor, pool: &Tensor, spans: &[Span]) -> Result<Tensor> {
        let rows: Result<Vec<Tensor>> = spans.iter().map(|s| self.one_row(qkv, pool, s)).collect();
        Tensor::cat(&rows?, 0)
    }

    // qkv [Σtime, row] -> [time, heads·dim] for one span
    fn one_row(&self, qkv: &Tensor, pool: &Tensor, span: &Span) -> Result<Tensor> {
        let HeadShape { heads, kv_heads, dim } = self.shape;
        let time = span.rows.len();
        let own = qkv.narrow(0, span.rows.start, time)?;
        let weights = self.weights(&own, pool, span)?;
        let weights = weights.reshape((kv_heads, heads / kv_heads * time, span.seen()))?;
        let [_, v] = gather(pool, self.shape, span)?;
        let mixed = weights.matmul(&v)?.reshape((heads, time, dim))?;
        mixed.transpose(0, 1)?.contiguous()?.reshape((time, heads * dim))
    }

    /// Attention weights of a span's queries, with candle operations on every device: for reading, not for serving.
    // qkv [time, row] of one span -> [heads, time, seen]
    pub(crate) fn weights(&self, qkv: &Tensor, pool: &Tensor, span: &Span) -> Result<Tensor> {
        let HeadShape { heads, kv_heads, dim } = self.shape;
        let (time, seen) = (span.rows.len(), span.seen());
        // [kv_heads, groups·time, dim] · [kv_heads, dim, seen]
        let q = qkv.narrow(1, 0, self.shape.q())?.contiguous()?.reshape((time, heads, dim))?;
        let q =
            q.transpose(0, 1)?.contiguous()?.reshape((kv_heads, heads / kv_heads * time, dim))?;
        let [k, _] = gather(pool, self.shape, span)?;
        let mut scores = (q.matmul(&k.t()?)? * f64::from(self.scale))?;
        if let Some(cap) = self.softcap.map(f64::from) {
            scores = ((scores / cap)?.tanh()? * cap)?;
        }
        let scores = scores.reshape((heads, time, seen))?;
        let scores = scores.broadcast_add(&self.mask(span, scores.device())?)?;
        candle_nn::ops::softmax(&scores, D::Minus1)
    }

    // -> [time, seen], 0 where a query sees a key and -inf elsewhere
    fn mask(&self, span: &Span, device: &candle_core::Device) -> Result<Tensor> {
        let (time, seen) = (span.rows.len(), span.seen());
        let mut mask = vec![f32::NEG_INFINITY; time * seen];
        for (t, row) in mask.chunks_mut(seen).enumerate() {
            row[self.visible(span.start + t)].fill(0.0);
        }
        Tensor::from_vec(mask, (time, seen), device)
    }

    /// The positions a query at `position` sees.
    fn visible(&self, position: usize) -> Range<usize> {
        let oldest = self.window.map_or(0, |w| (position + 1).saturating_sub(w));
        oldest..position + 1
    }
}
