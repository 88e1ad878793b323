//! One decoder block: attention and gated MLP, with the norms its architecture has.

use super::linear::{Before, Linear, RmsNorm};
use super::packed::Packed;
use super::rope::RopeTable;
use super::spec::Activation;
use crate::error::{Error, Result};
use crate::kernels::attention::Attention;
use crate::kernels::blocks::{Span, store};
use crate::kernels::heads::{HeadNorms, prepare};
use crate::kv::KvCache;
use candle_core::Tensor;

/// Weights of one block. A norm that an architecture lacks is `None`.
#[derive(Debug)]
pub(super) struct Block {
    pub attn_norm: Option<RmsNorm>,
    pub attn_post_norm: Option<RmsNorm>,
    pub mlp_norm: Option<RmsNorm>,
    pub mlp_post_norm: Option<RmsNorm>,
    pub qkv: Stacked<3>,
    pub head_norms: Option<HeadNorms>,
    pub attn_out: Linear,
    pub gate_up: Stacked<2>,
    pub down: Linear,
    pub activation: Activation,
    pub attention: Attention,
    /// Index of its rotary table.
    pub rope: usize,
}

/// Projections of one input whose outputs are read side by side: one matrix where that is possible.
#[derive(Debug)]
pub(super) enum Stacked<const N: usize> {
    /// Matrices of different kinds.
    Apart([Linear; N]),
    /// One matrix with their rows.
    Together(Linear),
}

/// What the blocks of one pass share.
pub(super) struct Scene<'a> {
    pub packed: &'a Packed,
    pub caches: &'a [&'a KvCache],
    pub ropes: &'a [RopeTable],
}

impl Scene<'_> {
    /// Keys and values of one layer.
    fn pool(&self, layer: usize) -> Result<&Tensor> {
        let pool = self.caches.first().and_then(|c| c.pool().layer(layer));
        pool.ok_or(Error::Misuse("the key-value pool was made for a model with fewer blocks"))
    }
}

impl Block {
    // stream [Σtime, d_model] -> what attention adds to it, [Σtime, d_model]
    pub(super) fn attend(&self, layer: usize, stream: &Tensor, scene: &Scene) -> Result<Tensor> {
        let at = |what: &str| Error::tensor(format!("{what} of block {layer}"));
        let qkv = self.project(stream, scene.ropes, &scene.packed.positions)?;
        let (pool, spans) = (scene.pool(layer)?, scene.packed.spans.as_slice());
        store(pool, &qkv, self.attention.shape, spans).map_err(at("keys and values"))?;
        let mixed = self.attention.forward(&qkv, pool, spans).map_err(at("attention"))?;
        normed(&self.attn_post_norm, self.attn_out.forward(&mixed, Before::Nothing)?)
    }

    /// Attention weights of the last token of one row, whose keys are in the cache already.
    // stream [Σtime, d_model] -> [heads, seen]
    pub(super) fn last_attention(
        &self,
        layer: usize,
        stream: &Tensor,
        scene: &Scene,
        row: usize,
    ) -> Result<Tensor> {
        let at = || Error::tensor(format!("attention weights of block {layer}"));
        let Some(span) = scene.packed.spans.get(row).filter(|s| !s.rows.is_empty()) else {
            return Err(Error::Misuse("attention weights of a row that is not in the pass"));
        };
        let position = span.seen() - 1;
        let x = stream.narrow(0, span.rows.end - 1, 1).map_err(at())?;
        let qkv = self.project(&x, scene.ropes, &[position as u32])?;
        let span = Span { rows: 0..1, start: position, blocks: span.blocks.clone() };
        let weights = self.attention.weights(&qkv, scene.pool(layer)?, &span);
        weights.and_then(|w| w.squeeze(1)).map_err(at())
    }

    // stream [time, d_model] -> q‖k‖v [time, row], queries and keys rotated
    fn project(&self, stream: &Tensor, ropes: &[RopeTable], positions: &[u32]) -> Result<Tensor> {
        let qkv = self.qkv.forward(stream, before(&self.attn_norm))?;
        let Some(table) = ropes.get(self.rope) else {
            return Err(Error::Misuse("a block names a rotary table that was not loaded"));
        };
        prepare(&qkv, self.attention.shape, self.head_norms.as_ref(), table, positions)
            .map_err(Error::tensor("rotation"))
    }

    // stream [Σtime, d_model] -> what the MLP adds to it, [Σtime, d_model]
    pub(super) fn mlp(&self, stream: &Tensor) -> Result<Tensor> {
        let gate_up = self.gate_up.forward(stream, before(&self.mlp_norm))?;
        normed(&self.mlp_post_norm, self.down.forward(&gate_up, Before::Gate(self.activation))?)
    }

    /// Bytes of its matrices.
    pub(super) fn bytes(&self) -> usize {
        self.qkv.bytes() + self.gate_up.bytes() + self.attn_out.bytes() + self.down.bytes()
    }
}

fn before(norm: &Option<RmsNorm>) -> Before<'_> {
    norm.as_ref().map_or(Before::Nothing, Before::Norm)
}

// x [time, width] -> normalised, or as it is where there is no norm
fn normed(norm: &Option<RmsNorm>, x: Tensor) -> Result<Tensor> {
    match norm {
        Some(norm) => norm.forward(&x),
        None => Ok(x),
    }
}

impl<const N: usize> Stacked<N> {
    // x [time, in] -> [time, Σout]
    fn forward(&self, x: &Tensor, before: Before) -> Result<Tensor> {
        match self {
            Stacked::Together(one) => one.forward(x, before),
            Stacked::Apart(parts) => {
                let parts: Result<Vec<Tensor>> =
                    parts.iter().map(|part| part.forward(x, before)).collect();
                Tensor::cat(&parts?, 1).map_err(Error::tensor("stacked projections"))
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Stacked::Apart(parts) => parts.iter().map(Linear::bytes).sum(),
            Stacked::Together(one) => one.bytes(),
        }
    }
}
