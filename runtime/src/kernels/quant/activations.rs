//! Activations in int8, a scale per 32 of them.
#![allow(unsafe_code)] // tasks write disjoint rows; each block says why it is sound

use super::{BATCH, BLOCK, Fidelity};
use crate::kernels::math::nearest;
use crate::kernels::pool::{self, Parts};
use crate::kernels::prologue::Prologue;
use crate::kernels::simd::{self, LANES, Task, largest_lane, sum_lanes};

/// Rows of activations, quantised block by block to ±127.
///
/// They lie in bunches of [`BATCH`] rows, the last with what is left: `[bunch, blocks, rows of the bunch]`, so that a
/// kernel reads one stream for all rows it works on.
pub(super) struct Activations {
    rows: usize,
    /// Blocks in a row.
    blocks: usize,
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

/// What is quantised: rows as the caller has them, and what is done to each first.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// `[time, input width]`
    pub values: &'a [f32],
    pub prologue: Prologue<'a>,
    /// Width after the prologue, a multiple of BLOCK.
    pub width: usize,
    pub fidelity: Fidelity,
}

impl Source<'_> {
    fn time(&self) -> usize {
        self.values.len() / self.prologue.input_width(self.width)
    }
}

impl Activations {
    // values [time, input width] -> [rows, width], two rows per input row for `Fidelity::Twice`
    pub(super) fn quantise(source: Source) -> Self {
        let (blocks, rows) = (source.width / BLOCK, source.time() * source.fidelity.rows());
        let mut all = Activations {
            rows,
            blocks,
            quants: vec![[0; BLOCK]; rows * blocks],
            scales: vec![0.0; rows * blocks],
            sums: vec![0; rows * blocks],
            halves: vec![[0; 2]; rows * blocks],
            weighted: vec![0.0; rows * blocks],
        };
        let (quants, scales) = (Parts::of(&mut all.quants), Parts::of(&mut all.scales));
        let (sums, weighted) = (Parts::of(&mut all.sums), Parts::of(&mut all.weighted));
        let halves = Parts::of(&mut all.halves);
        pool::global().run(rows.div_ceil(BATCH), &|bunch| {
            let first = bunch * BATCH;
            let count = BATCH.min(rows - first);
            let (from, len) = (first * blocks, count * blocks);
            simd::on_widest_unit(Quantise {
                source,
                first: first / source.fidelity.rows(),
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
        all
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
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

/// One bunch of a source.
struct Quantise<'a> {
    source: Source<'a>,
    /// First input row.
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
        let Source { values, prologue, width, fidelity } = self.source;
        let input_width = prologue.input_width(width);
        let rows = values[self.first * input_width..].chunks(input_width);
        let mut row = vec![0f32; width];
        for (i, input) in rows.take(self.count / fidelity.rows()).enumerate() {
            prologue.apply::<FMA>(input, &mut row);
            for pass in 0..fidelity.rows() {
                self.one_row(i * fidelity.rows() + pass, &mut row);
            }
        }
    }
}

impl Quantise<'_> {
    // row [width] -> its quants; what rounding leaves stays in `row`
    #[inline(always)]
    fn one_row(&mut self, t: usize, row: &mut [f32]) {
        for (i, block) in row.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            let at = i * self.count + t;
            let (mut most, mut total) = ([0f32; LANES], [0f32; LANES]);
            for line in block.as_chunks::<LANES>().0 {
                for (l, v) in line.iter().enumerate() {
                    most[l] = most[l].max(v.abs());
                    total[l] += v;
                }
            }
            let most = largest_lane(most);
            // max() passes over NaN; a sum does not.
            let scale = if sum_lanes(total).is_nan() { f32::NAN } else { most / 127.0 };
            let inverse = if scale > f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 };
            let rounded = block.map(|v| nearest(v * inverse));
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
}
