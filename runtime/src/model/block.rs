//! One decoder block: attention and gated MLP, with the norms its architecture has.

use super::linear::{Linear, RmsNorm};
use super::packed::Packed;
use super::rope::RopeTable;
use super::spec::Activation;
use crate::error::{Error, Result};
use crate::kernels::attention::{Attention, Span};
use crate::kernels::rope::{Heads, rotate};
use crate::kv::KvCache;
use candle_core::Tensor;

/// Weights of one block. A norm that an architecture lacks is `None`.
#[derive(Debug)]
pub(super) struct Block {
    pub attn_norm: Option<RmsNorm>,
    pub attn_post_norm: Option<RmsNorm>,
    pub mlp_norm: Option<RmsNorm>,
    pub mlp_post_norm: Option<RmsNorm>,
    pub qkv: Qkv,
    pub query_norm: Option<RmsNorm>,
    pub key_norm: Option<RmsNorm>,
    pub attn_out: Linear,
    pub gate_up: GateUp,
    pub down: Linear,
    pub activation: Activation,
    pub attention: Attention,
    /// Index of its rotary table.
    pub rope: usize,
}

/// Query, key and value projections.
#[derive(Debug)]
pub(super) enum Qkv {
    Split([Linear; 3]),
    Fused(Linear),
}

/// Gate and up projections.
#[derive(Debug)]
pub(super) enum GateUp {
    Split([Linear; 2]),
    Fused(Linear),
}

/// What the blocks of one pass share.
pub(super) struct Scene<'a> {
    pub packed: &'a Packed,
    pub caches: &'a [&'a KvCache],
    pub ropes: &'a [RopeTable],
}

impl Scene<'_> {
    /// Keys and values of one layer.
    fn pool(&self, layer: usize) -> Result<[&Tensor; 2]> {
        let pool = self.caches.first().and_then(|c| c.pool().layer(layer));
        pool.ok_or(Error::Misuse("the key-value pool was made for a model with fewer blocks"))
    }
}

impl Block {
    // stream [Σtime, d_model] -> what attention adds to it, [Σtime, d_model]
    pub(super) fn attend(&self, layer: usize, stream: &Tensor, scene: &Scene) -> Result<Tensor> {
        let at = |what: &str| Error::tensor(format!("{what} of block {layer}"));
        let [q, k, v] = self.project(stream, scene.ropes, &scene.packed.positions)?;
        let pool = scene.pool(layer)?;
        for (cache, span) in scene.caches.iter().zip(&scene.packed.spans) {
            let own = |t: &Tensor| t.narrow(0, span.rows.start, span.rows.len());
            let (k, v) = (own(&k).map_err(at("keys"))?, own(&v).map_err(at("values"))?);
            cache.write(layer, [&k, &v])?;
        }
        let mixed = self.attention.forward(&q, pool, &scene.packed.spans);
        let out = self.attn_out.forward(&mixed.map_err(at("attention"))?)?;
        normed(&self.attn_post_norm, &out)
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
        let last = span.rows.end - 1;
        let position = span.start + span.rows.len() - 1;
        let x = stream.narrow(0, last, 1).map_err(at())?;
        let [q, _, _] = self.project(&x, scene.ropes, &[position as u32])?;
        let span = Span { rows: 0..1, start: position, blocks: span.blocks.clone() };
        let weights = self.attention.weights(&q, scene.pool(layer)?[0], &span);
        weights.and_then(|w| w.squeeze(1)).map_err(at())
    }

    // stream [time, d_model] -> rotated q [time, heads·dim] and k, and v [time, kv_heads·dim]
    fn project(
        &self,
        stream: &Tensor,
        ropes: &[RopeTable],
        positions: &[u32],
    ) -> Result<[Tensor; 3]> {
        let x = normed(&self.attn_norm, stream)?;
        let [q, k, v] = self.qkv.forward(&x, &self.attention)?;
        let (q, k) = (normed(&self.query_norm, &q)?, normed(&self.key_norm, &k)?);
        let Some(table) = ropes.get(self.rope) else {
            return Err(Error::Misuse("a block names a rotary table that was not loaded"));
        };
        let turn = |x: &Tensor, count| {
            let heads = Heads { positions, count, dim: self.attention.head_dim };
            rotate(x, table, &heads).map_err(Error::tensor("rotation"))
        };
        Ok([turn(&q, self.attention.heads)?, turn(&k, self.attention.kv_heads)?, v])
    }

    // stream [Σtime, d_model] -> what the MLP adds to it, [Σtime, d_model]
    pub(super) fn mlp(&self, stream: &Tensor) -> Result<Tensor> {
        let x = normed(&self.mlp_norm, stream)?;
        let [gate, up] = self.gate_up.forward(&x)?;
        let gated = match self.activation {
            Activation::Silu => gate.silu(),
            Activation::GeluTanh => gate.gelu(),
        };
        let gated = gated.and_then(|g| g * up).map_err(Error::tensor("mlp"))?;
        normed(&self.mlp_post_norm, &self.down.forward(&gated)?)
    }

    /// Bytes of its matrices.
    pub(super) fn bytes(&self) -> usize {
        let qkv = match &self.qkv {
            Qkv::Split(parts) => parts.iter().map(Linear::bytes).sum(),
            Qkv::Fused(one) => one.bytes(),
        };
        let gate_up = match &self.gate_up {
            GateUp::Split(parts) => parts.iter().map(Linear::bytes).sum(),
            GateUp::Fused(one) => one.bytes(),
        };
        qkv + gate_up + self.attn_out.bytes() + self.down.bytes()
    }
}

// x [time, n·width] -> normalised, or as it is where there is no norm
fn normed(norm: &Option<RmsNorm>, x: &Tensor) -> Result<Tensor> {
    match norm {
        Some(norm) => norm.forward(x),
        None => Ok(x.clone()),
    }
}

impl Qkv {
    // x [time, d_model] -> [time, heads·dim], [time, kv_heads·dim], [time, kv_heads·dim]
    fn forward(&self, x: &Tensor, shape: &Attention) -> Result<[Tensor; 3]> {
        match self {
            Qkv::Split([q, k, v]) => Ok([q.forward(x)?, k.forward(x)?, v.forward(x)?]),
            Qkv::Fused(one) => {
                let (q, kv) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
                let all = one.forward(x)?;
                Ok([part(&all, 0, q)?, part(&all, q, kv)?, part(&all, q + kv, kv)?])
            }
        }
    }
}

impl GateUp {
    // x [time, d_model] -> [time, d_ff] twice
    fn forward(&self, x: &Tensor) -> Result<[Tensor; 2]> {
        match self {
            GateUp::Split([gate, up]) => Ok([gate.forward(x)?, up.forward(x)?]),
            GateUp::Fused(one) => {
                let all = one.forward(x)?;
                let half = all.dim(1).map_err(Error::tensor("gate and up"))? / 2;
                Ok([part(&all, 0, half)?, part(&all, half, half)?])
            }
        }
    }
}

// x [time, width] -> [time, len]
fn part(x: &Tensor, from: usize, len: usize) -> Result<Tensor> {
    x.narrow(1, from, len).and_then(|t| t.contiguous()).map_err(Error::tensor("fused projection"))
}
