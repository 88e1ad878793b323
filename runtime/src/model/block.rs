//! One decoder block: attention and gated MLP, with the norms its architecture has.

use super::linear::{Before, Linear, RmsNorm};
use super::spec::Activation;
use crate::error::{Error, Result};
use crate::kernels::attention::Attention;
use crate::kernels::columns::{Columns, Write};
use crate::kernels::heads::HeadNorms;
use crate::kernels::quant::Activations;
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

impl Block {
    /// Bytes of its matrices.
    pub(super) fn bytes(&self) -> usize {
        self.qkv.bytes() + self.gate_up.bytes() + self.attn_out.bytes() + self.down.bytes()
    }
}

/// What is done in front of a product that reads the stream.
pub(super) fn before(norm: &Option<RmsNorm>) -> Before<'_> {
    norm.as_ref().map_or(Before::Nothing, Before::Norm)
}

impl<const N: usize> Stacked<N> {
    // x [time, in] -> [time, Σout]
    pub(super) fn forward(&self, x: &Tensor, before: Before) -> Result<Tensor> {
        match self {
            Stacked::Together(one) => one.forward(x, before),
            Stacked::Apart(parts) => {
                let parts: Result<Vec<Tensor>> =
                    parts.iter().map(|part| part.forward(x, before)).collect();
                Tensor::cat(&parts?, 1).map_err(Error::tensor("stacked projections"))
            }
        }
    }

    /// The same in host memory.
    // x [time, in] -> out [time, Σout]
    pub(super) fn on_host(
        &self,
        x: &[f32],
        before: Before,
        quants: &mut Activations,
        out: &mut [f32],
    ) -> Result<()> {
        let stride = self.out();
        let parts = match self {
            Stacked::Together(one) => std::slice::from_ref(one),
            Stacked::Apart(parts) => parts.as_slice(),
        };
        // Tiles of any kind read the same rounded rows.
        let rounded = parts.iter().all(Linear::is_tiled);
        if let Some(first) = parts.first().filter(|_| rounded) {
            first.round(x, before, quants)?;
        }
        let mut from = 0;
        for part in parts {
            let columns = Columns { values: &mut *out, stride, from, write: Write::Set };
            from += part.out();
            if rounded {
                part.multiply(quants, columns)?;
            } else {
                part.on_host(x, before, quants, columns)?;
            }
        }
        Ok(())
    }

    /// Columns of its result.
    pub(super) fn out(&self) -> usize {
        match self {
            Stacked::Apart(parts) => parts.iter().map(Linear::out).sum(),
            Stacked::Together(one) => one.out(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Stacked::Apart(parts) => parts.iter().map(Linear::bytes).sum(),
            Stacked::Together(one) => one.bytes(),
        }
    }
}
