//! What happens to a row before a product reads it, in the same pass that quantises it.

use super::math;
use super::simd::dot;
use crate::model::spec::Activation;

/// A row-wise step in front of a product.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Prologue<'a> {
    /// The row as it is.
    #[default]
    None,
    /// Root-mean-square norm.
    Norm {
        /// `[width]`
        weight: &'a [f32],
        /// Added to the mean square.
        eps: f32,
    },
    /// The row is gate‖up, twice as wide; what remains is act(gate)·up.
    Gated(Activation),
}

impl Prologue<'_> {
    /// Width of the row that gives `width` values.
    pub(crate) fn input_width(&self, width: usize) -> usize {
        match self {
            Prologue::None | Prologue::Norm { .. } => width,
            Prologue::Gated(_) => 2 * width,
        }
    }

    // row [input_width] -> out [width]
    #[inline(always)]
    pub(super) fn apply<const FMA: bool>(&self, row: &[f32], out: &mut [f32]) {
        match self {
            Prologue::None => out.copy_from_slice(row),
            Prologue::Norm { weight, eps } => norm::<FMA>(row, weight, *eps, out),
            Prologue::Gated(activation) => {
                let (gate, up) = row.split_at(row.len() / 2);
                let pairs = gate.iter().zip(up).zip(out);
                match activation {
                    Activation::Silu => {
                        pairs.for_each(|((g, u), out)| *out = math::silu::<FMA>(*g) * u);
                    }
                    Activation::GeluTanh => {
                        pairs.for_each(|((g, u), out)| *out = math::gelu_tanh::<FMA>(*g) * u);
                    }
                }
            }
        }
    }
}

// row [width] -> out [width]
#[inline(always)]
pub(super) fn norm<const FMA: bool>(row: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let mean = dot::<FMA>(row, row) / row.len() as f32;
    let inverse = 1.0 / (mean + eps).sqrt();
    for ((out, x), w) in out.iter_mut().zip(row).zip(weight) {
        *out = x * inverse * w;
    }
}
