//! Activations in int8, a scale per 32 of them.
#![allow(unsafe_code)] // tasks write disjoint rows; each block says why it is sound

#[cfg(target_arch = "x86_64")]
mod wide;

use super::{BATCH, BLOCK, Fidelity, Input};
use crate::kernels::math::nearest;
use crate::kernels::simd::{self, LANES, Task, largest_lane};
use crate::kernels::threads::{self, Parts};
#[cfg(target_arch = "x86_64")]
use crate::kernels::wide::Vnni;
use candle_core::Result;

/// Rows of activations, quantised block by block to ±127.
///
/// They lie in bunches of [`BATCH`] rows, the last with what is left: `[bunch, blocks, rows of the bunch]`, so that a
/// kernel reads one stream for all rows it works on.
#[derive(Debug, Default)]
pub(crate) struct Activations {
    rows: usize,
    /// Blocks in a row.
    blocks: usize,
    fidelity: Fidelity,
    quants: Vec<[i8; BLOCK]>,
    scales: Vec<f32>,
    /// Sum of a block's quants.
    sums: Vec<i32>,
    /// The same times the block's scale, which is what a minimum is multiplied with.
    weighted: Vec<f32>,
    /// Sums of a block's first and second half, for scales and minima of 16 weights.
    halves: Vec<[i16; 2]>,
}

/// One bunch: block after block, row after row.
pub(super) struct Bunch<'a> {
    pub quants: &'a [[i8; BLOCK]],
    pub scales: &'a [f32],
    pub sums: &'a [i32],
    pub halves: &'a [[i16; 2]],
    pub weighted: &'a [f32],
}

impl Activations {
    // input [time, input width] -> [rows, width], two rows per input row for `Fidelity::Twice`
    pub(crate) fn quantise(&mut self, input: Input, width: usize) -> Result<()> {
        let input_width = input.prologue.input_width(width);
        let time = input.values.len() / input_width;
        if time * input_width != input.values.len() || !width.is_multiple_of(BLOCK) {
            candle_core::bail!("{} values are no rows of {input_width}", input.values.len());
        }
        let (blocks, rows) = (width / BLOCK, time * input.fidelity.rows());
        self.resize(rows, blocks);
        self.fidelity = input.fidelity;
        let (quants, scales) = (Parts::of(&mut self.quants), Parts::of(&mut self.scales));
        let (sums, weighted) = (Parts::of(&mut self.sums), Parts::of(&mut self.weighted));
        let halves = Parts::of(&mut self.halves);
        threads::global().run(rows.div_ceil(BATCH), &|bunch| {
            let first = bunch * BATCH;
            let count = BATCH.min(rows - first);
            let (from, len) = (first * blocks, count * blocks);
            run(Quantise {
                input,
                width,
                first: first / input.fidelity.rows(),
                count,
                // SAFETY: bunches have disjoint rows, so their parts do not overlap.
                quants: unsafe { quants.part(from, len) },
                // SAFETY: as above.
                scales: unsafe { scales.part(from, len) },
                // SAFETY: as above.
                sums: unsafe { sums.part(from, len) },
                // SAFETY: as above.
                halves: unsafe { halves.part(from, len) },
                // SAFETY: as above.
                weighted: unsafe { weighted.part(from, len) },
            });
        });
        Ok(())
    }

    /// Makes room; what is there is written over.
    fn resize(&mut self, rows: usize, blocks: usize) {
        (self.rows, self.blocks) = (rows, blocks);
        let needed = rows * blocks;
        if self.quants.len() < needed {
            self.quants.resize(needed, [0; BLOCK]);
            self.scales.resize(needed, 0.0);
            self.sums.resize(needed, 0);
            self.weighted.resize(needed, 0.0);
            self.halves.resize(needed, [0; 2]);
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Rows they were made from.
    pub(super) fn time(&self) -> usize {
        self.rows / self.fidelity.rows()
    }

    pub(super) fn width(&self) -> usize {
        self.blocks * BLOCK
    }

    pub(super) fn fidelity(&self) -> Fidelity {
        self.fidelity
    }

    /// The bunch that begins with this row, and how many rows it has.
    pub(super) fn bunch(&self, first: usize) -> (Bunch<'_>, usize) {
        let count = BATCH.min(self.rows - first);
        let at = first * self.blocks..(first + count) * self.blocks;
        let (quants, scales) = (&self.quants[at.clone()], &self.scales[at.clone()]);
        let (sums, halves) = (&self.sums[at.clone()], &self.halves[at.clone()]);
        (Bunch { quants, scales, sums, halves, weighted: &self.weighted[at] }, count)
    }

    /// The values the quants stand for, row by row.
    #[cfg(test)]
    pub(super) fn dequantise(&self) -> Vec<f32> {
        let mut values = Vec::new();
        for row in 0..self.rows {
            let (bunch, count) = self.bunch(row / BATCH * BATCH);
            for block in 0..self.blocks {
                let at = block * count + row % BATCH;
                let (quants, scale) = (bunch.quants[at], bunch.scales[at]);
                values.extend(quants.iter().map(|q| f32::from(*q) * scale));
            }
        }
        values
    }
}

// An input row's passes lie in one bunch.
const _: () = assert!(BATCH.is_multiple_of(2));

/// Quantises with the widest unit.
fn run(bunch: Quantise) {
    #[cfg(target_arch = "x86_64")]
    if let Some(unit) = Vnni::detect() {
        return wide::rows(unit, bunch);
    }
    simd::on_widest_unit(bunch);
}

/// One bunch of rows.
struct Quantise<'a> {
    input: Input<'a>,
    width: usize,
    first: usize,
    /// Rows of the bunch.
    count: usize,
    quants: &'a mut [[i8; BLOCK]],
    scales: &'a mut [f32],
    sums: &'a mut [i32],
    halves: &'a mut [[i16; 2]],
    weighted: &'a mut [f32],
}

impl Task for Quantise<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(mut self) {
        let Input { values, prologue, fidelity } = self.input;
        let input_width = prologue.input_width(self.width);
        let rows = values[self.first * input_width..].chunks(input_width);
        for (i, row) in rows.take(self.count / fidelity.rows()).enumerate() {
            let factor = prologue.factor::<FMA>(row);
            for block in 0..self.width / BLOCK {
                let mut values = prologue.block::<FMA, BLOCK>(row, block, factor);
                for pass in 0..fidelity.rows() {
                    self.one_block(block * self.count + i * fidelity.rows() + pass, &mut values);
                }
            }
        }
    }
}

impl Quantise<'_> {
    /// Rounds a block to its quants; what rounding leaves stays in `block`.
    #[inline(always)]
    fn one_block(&mut self, at: usize, block: &mut [f32; BLOCK]) {
        let mut most = [0f32; LANES];
        for line in block.as_chunks::<LANES>().0 {
            for (most, v) in most.iter_mut().zip(line) {
                *most = most.max(v.abs());
            }
        }
        // max() passes over NaN.
        let is_nan = block.iter().fold(false, |found, v| found | v.is_nan());
        let scale = if is_nan { f32::NAN } else { largest_lane(most) / 127.0 };
        let inverse = if scale > f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 };
        // Without a finite scale there is nothing to round: the scale alone carries the NaN or infinity on.
        let finite = inverse > 0.0;
        let rounded = block.map(|v| if finite { nearest(v * inverse) } else { 0 });
        self.scales[at] = scale;
        let (first, second) = rounded.split_at(BLOCK / 2);
        let halves = [first.iter().sum::<i32>(), second.iter().sum::<i32>()];
        self.halves[at] = halves.map(|sum| sum as i16);
        self.sums[at] = halves[0] + halves[1];
        self.weighted[at] = self.sums[at] as f32 * scale;
        self.quants[at] = rounded.map(|q| q as i8);
        for (v, q) in block.iter_mut().zip(rounded) {
            *v -= q as f32 * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::prologue::Activation;
    use crate::kernels::prologue::Prologue;
    use proptest::prelude::*;

    /// Every array of a bunch, quantised with `run`.
    fn arrays(
        input: Input,
        width: usize,
        run: fn(Quantise),
    ) -> (Vec<[i8; BLOCK]>, Vec<f32>, Vec<[i16; 2]>) {
        let count = input.values.len() / input.prologue.input_width(width) * input.fidelity.rows();
        let n = count * width / BLOCK;
        let (mut quants, mut scales) = (vec![[0; BLOCK]; n], vec![0.0; n]);
        let (mut sums, mut weighted) = (vec![0; n], vec![0.0; n]);
        let mut halves = vec![[0; 2]; n];
        run(Quantise {
            input,
            width,
            first: 0,
            count,
            quants: &mut quants,
            scales: &mut scales,
            sums: &mut sums,
            halves: &mut halves,
            weighted: &mut weighted,
        });
        assert!(sums.iter().zip(&halves).all(|(s, h)| *s == i32::from(h[0]) + i32::from(h[1])));
        (quants, scales, halves)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn the_wide_unit_rounds_like_plain_code(
            rows in 1..3usize, blocks in 1..5usize, pick in 0..4usize, power in -40..40i32,
            twice in any::<bool>(),
        ) {
            let width = blocks * BLOCK;
            let weight: Vec<f32> = (0..width).map(|i| 1.0 + (i as f32 * 0.3).cos()).collect();
            let prologue = match pick {
                0 => Prologue::None,
                1 => Prologue::Norm { weight: &weight, eps: 1e-5 },
                2 => Prologue::Gated(Activation::Silu),
                _ => Prologue::Gated(Activation::GeluTanh),
            };
            let size = 2f32.powi(power);
            let values: Vec<f32> = (0..rows * prologue.input_width(width))
                .map(|i| size * (i as f32 * 0.77).sin())
                .collect();
            let fidelity = if twice { Fidelity::Twice } else { Fidelity::Once };
            let input = Input { values: &values, prologue, fidelity };
            let plain = arrays(input, width, |q| simd::on_widest_unit(q));
            prop_assert_eq!(arrays(input, width, run), plain);
        }
    }
}
