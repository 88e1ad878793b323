//! What happens to a row before a product reads it, in the same pass that quantises it.

use super::math;
use super::simd::{self, LANES, Task, dot};

/// The non-linearity of the gated MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x·σ(x).
    Silu,
    /// GELU with the tanh approximation.
    GeluTanh,
}

/// A row-wise step in front of a product.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Prologue<'a> {
    /// The row as it is.
    #[default]
    None,
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

    /// The one number a row must be read for before any of its blocks is known.
    // row [input_width]
    #[inline(always)]
    pub(super) fn factor<const FMA: bool>(&self, row: &[f32]) -> f32 {
        match self {
            Prologue::None | Prologue::Gated(_) => 1.0,
            Prologue::Norm { eps, .. } => inverse_rms::<FMA>(row, *eps),
        }
    }

    /// The `i`-th `N` values of a row after this step.
    // row [input_width] -> [N]
    #[inline(always)]
    pub(super) fn block<const FMA: bool, const N: usize>(
        &self,
        row: &[f32],
        i: usize,
        factor: f32,
    ) -> [f32; N] {
        let part = |row: &[f32]| row.as_chunks::<N>().0[i];
        match self {
            Prologue::None => part(row),
            Prologue::Norm { weight, .. } => {
                let (mut values, weight) = (part(row), part(weight));
                values.iter_mut().zip(weight).for_each(|(x, w)| *x = *x * factor * w);
                values
            }
            Prologue::Gated(activation) => {
                let (gate, up) = row.split_at(row.len() / 2);
                let (mut values, up) = (part(gate), part(up));
                let pairs = values.iter_mut().zip(up);
                match activation {
                    Activation::Silu => pairs.for_each(|(g, u)| *g = math::silu::<FMA>(*g) * u),
                    Activation::GeluTanh => {
                        pairs.for_each(|(g, u)| *g = math::gelu_tanh::<FMA>(*g) * u);
                    }
                }
                values
            }
        }
    }

    // row [input_width] -> out [width]
    #[inline(always)]
    fn apply<const FMA: bool>(&self, row: &[f32], out: &mut [f32]) {
        let factor = self.factor::<FMA>(row);
        let (whole, rest) = out.as_chunks_mut::<LANES>();
        for (i, out) in whole.iter_mut().enumerate() {
            *out = self.block::<FMA, LANES>(row, i, factor);
        }
        let done = whole.len() * LANES;
        for (i, out) in rest.iter_mut().enumerate() {
            [*out] = self.block::<FMA, 1>(row, done + i, factor);
        }
    }

    /// As `rows`, for a step that keeps the width: the others leave `values` alone.
    // values [time, width]
    pub(crate) fn in_place(&self, values: &mut [f32], width: usize) {
        if let Prologue::Norm { weight, eps } = self {
            simd::on_widest_unit(Norms { weight, eps: *eps, values, width });
        }
    }

    // values [time, input_width] -> out [time, width]
    pub(crate) fn rows(&self, values: &[f32], out: &mut [f32], width: usize) {
        simd::on_widest_unit(Rows { prologue: self, values, out, width });
    }
}

struct Rows<'a> {
    prologue: &'a Prologue<'a>,
    values: &'a [f32],
    out: &'a mut [f32],
    width: usize,
}

impl Task for Rows<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let rows = self.values.chunks(self.prologue.input_width(self.width));
        for (row, out) in rows.zip(self.out.chunks_mut(self.width)) {
            self.prologue.apply::<FMA>(row, out);
        }
    }
}

struct Norms<'a> {
    weight: &'a [f32],
    eps: f32,
    values: &'a mut [f32],
    width: usize,
}

impl Task for Norms<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for row in self.values.chunks_mut(self.width) {
            norm_in_place::<FMA>(row, self.weight, self.eps);
        }
    }
}

// row [width], normalised in its place
#[inline(always)]
pub(super) fn norm_in_place<const FMA: bool>(row: &mut [f32], weight: &[f32], eps: f32) {
    let inverse = inverse_rms::<FMA>(row, eps);
    row.iter_mut().zip(weight).for_each(|(x, w)| *x = *x * inverse * w);
}

// row [width]
#[inline(always)]
fn inverse_rms<const FMA: bool>(row: &[f32], eps: f32) -> f32 {
    let mean = dot::<FMA>(row, row) / row.len() as f32;
    1.0 / (mean + eps).sqrt()
}
