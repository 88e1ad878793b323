//! Activations in int8, a scale per 32 of them.

use super::BLOCK;

/// Rows of activations, quantised block by block to ±127.
pub(super) struct Activations {
    /// Blocks in a row.
    blocks: usize,
    /// `[time, blocks, BLOCK]`
    quants: Vec<[i8; BLOCK]>,
    /// `[time, blocks]`
    scales: Vec<f32>,
    /// Sum of a block's quants, `[time, blocks]`.
    sums: Vec<i32>,
}

impl Activations {
    // values [time, width]; width is a multiple of BLOCK
    pub(super) fn quantise(values: &[f32], width: usize) -> Self {
        let count = values.len() / BLOCK;
        let mut all = Activations {
            blocks: width / BLOCK,
            quants: Vec::with_capacity(count),
            scales: Vec::with_capacity(count),
            sums: Vec::with_capacity(count),
        };
        for block in values.as_chunks::<BLOCK>().0 {
            let most = block.iter().fold(0f32, |m, v| m.max(v.abs()));
            // max() passes over NaN; a sum does not.
            let most = if block.iter().sum::<f32>().is_nan() { f32::NAN } else { most };
            let scale = most / 127.0;
            let inverse = if scale > f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 };
            let quants = block.map(|v| (v * inverse).round_ties_even() as i8);
            all.sums.push(quants.iter().map(|q| i32::from(*q)).sum());
            all.quants.push(quants);
            all.scales.push(scale);
        }
        all
    }

    pub(super) fn time(&self) -> usize {
        self.scales.len() / self.blocks.max(1)
    }

    /// One row's blocks.
    pub(super) fn row(&self, t: usize) -> (&[[i8; BLOCK]], &[f32], &[i32]) {
        let at = t * self.blocks..(t + 1) * self.blocks;
        (&self.quants[at.clone()], &self.scales[at.clone()], &self.sums[at])
    }

    /// The values the quants stand for.
    pub(super) fn dequantise(&self) -> Vec<f32> {
        let blocks = self.quants.iter().zip(&self.scales);
        blocks.flat_map(|(q, s)| q.iter().map(move |q| f32::from(*q) * s)).collect()
    }
}

// values [time, width] -> [2·time, width]: each row, then what rounding it to int8 leaves
pub(super) fn with_remainders(values: &[f32], width: usize) -> Vec<f32> {
    let mut all = Vec::with_capacity(2 * values.len());
    for row in values.chunks(width) {
        all.extend_from_slice(row);
        let rounded = Activations::quantise(row, width).dequantise();
        all.extend(row.iter().zip(rounded).map(|(v, r)| v - r));
    }
    all
}
