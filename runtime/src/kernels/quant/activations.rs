//! Activations in int8, a scale per 32 of them.
#![allow(unsafe_code)] // tasks write disjoint rows; each block says why it is sound

use super::{BLOCK, Fidelity};
use crate::kernels::math::nearest;
use crate::kernels::pool::{self, Parts};
use crate::kernels::prologue::Prologue;
use crate::kernels::simd::{self, Task};

/// Rows that one task quantises.
const ROWS_PER_TASK: usize = 8;

/// Rows of activations, quantised block by block to ±127.
pub(super) struct Activations {
    /// Blocks in a row.
    blocks: usize,
    /// `[rows, blocks, BLOCK]`
    quants: Vec<[i8; BLOCK]>,
    /// `[rows, blocks]`
    scales: Vec<f32>,
    /// Sum of a block's quants, `[rows, blocks]`.
    sums: Vec<i32>,
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
        let (time, blocks) = (source.time(), source.width / BLOCK);
        let each = source.fidelity.rows();
        let count = time * each * blocks;
        let mut all = Activations {
            blocks,
            quants: vec![[0; BLOCK]; count],
            scales: vec![0.0; count],
            sums: vec![0; count],
        };
        let (quants, scales) = (Parts::of(&mut all.quants), Parts::of(&mut all.scales));
        let sums = Parts::of(&mut all.sums);
        pool::global().run(time.div_ceil(ROWS_PER_TASK), &|task| {
            let first = task * ROWS_PER_TASK;
            let rows = ROWS_PER_TASK.min(time - first);
            let (from, len) = (first * each * blocks, rows * each * blocks);
            simd::on_widest_unit(Quantise {
                source,
                first,
                // SAFETY: tasks have disjoint rows, so their parts do not overlap.
                quants: unsafe { quants.part(from, len) },
                // SAFETY: as above.
                scales: unsafe { scales.part(from, len) },
                // SAFETY: as above.
                sums: unsafe { sums.part(from, len) },
            });
        });
        all
    }

    pub(super) fn rows(&self) -> usize {
        self.scales.len() / self.blocks.max(1)
    }

    /// One row's blocks.
    pub(super) fn row(&self, t: usize) -> (&[[i8; BLOCK]], &[f32], &[i32]) {
        let at = t * self.blocks..(t + 1) * self.blocks;
        (&self.quants[at.clone()], &self.scales[at.clone()], &self.sums[at])
    }

    /// The values the quants stand for.
    #[cfg(test)]
    pub(super) fn dequantise(&self) -> Vec<f32> {
        let blocks = self.quants.iter().zip(&self.scales);
        blocks.flat_map(|(q, s)| q.iter().map(move |q| f32::from(*q) * s)).collect()
    }
}

/// Some rows of a source.
struct Quantise<'a> {
    source: Source<'a>,
    first: usize,
    quants: &'a mut [[i8; BLOCK]],
    scales: &'a mut [f32],
    sums: &'a mut [i32],
}

impl Task for Quantise<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Source { values, prologue, width, fidelity } = self.source;
        let input_width = prologue.input_width(width);
        let rows = values[self.first * input_width..].chunks(input_width);
        let mut row = vec![0f32; width];
        let (each, blocks) = (fidelity.rows(), width / BLOCK);
        let parts =
            self.quants.chunks_mut(each * blocks).zip(self.scales.chunks_mut(each * blocks));
        for ((input, (quants, scales)), sums) in
            rows.zip(parts).zip(self.sums.chunks_mut(each * blocks))
        {
            prologue.apply::<FMA>(input, &mut row);
            for pass in 0..each {
                let at = pass * blocks..(pass + 1) * blocks;
                let quants = &mut quants[at.clone()];
                let scales = &mut scales[at.clone()];
                one_row(&mut row, quants, scales, &mut sums[at]);
            }
        }
    }
}

// row [width] -> its quants; what rounding leaves stays in `row`
#[inline(always)]
fn one_row(row: &mut [f32], quants: &mut [[i8; BLOCK]], scales: &mut [f32], sums: &mut [i32]) {
    let blocks = row.as_chunks_mut::<BLOCK>().0.iter_mut();
    for (((block, quants), scale), sum) in blocks.zip(quants).zip(scales).zip(sums) {
        let (mut most, mut total) = (0f32, 0f32);
        for v in block.iter() {
            most = most.max(v.abs());
            total += v;
        }
        // max() passes over NaN; a sum does not.
        *scale = if total.is_nan() { f32::NAN } else { most / 127.0 };
        let inverse = if *scale > f32::MIN_POSITIVE { 1.0 / *scale } else { 0.0 };
        let rounded = block.map(|v| nearest(v * inverse));
        *sum = rounded.iter().sum();
        *quants = rounded.map(|q| q as i8);
        for (v, q) in block.iter_mut().zip(rounded) {
            *v -= q as f32 * *scale;
        }
    }
}
