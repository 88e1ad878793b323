//! Scores and weighted sums in safe Rust over lanes of sixteen: what runs without AVX-512, and what the rest is
//! compared with.

use super::super::blocks::Stored;
use super::super::simd::{LANES, multiply_add};
use super::scratch::{CHUNK, PANEL, Share, Start};
use crate::kernels::blocks::BLOCK_LEN;

/// Scores of `rows` rows with the keys of some blocks.
// panel [dim / PANEL, rows, PANEL], keys [dim, BLOCK_LEN] per block -> scores [rows, CHUNK], from the first column on
#[inline(always)]
pub(super) fn score<E: Stored, const FMA: bool>(
    panel: &[f32],
    rows: usize,
    keys: &[&[E]],
    scores: &mut [f32],
    wide: &mut Vec<f32>,
) {
    for (b, keys) in keys.iter().enumerate() {
        let keys = E::widen(keys, wide).as_chunks::<LANES>().0;
        let mut row = 0;
        while row < rows {
            let at = &mut scores[row * CHUNK + b * BLOCK_LEN..];
            let panel = &panel[row * PANEL..];
            row += match rows - row {
                4.. => score_rows::<FMA, 4>(panel, rows, keys, at),
                3 => score_rows::<FMA, 3>(panel, rows, keys, at),
                2 => score_rows::<FMA, 2>(panel, rows, keys, at),
                _ => score_rows::<FMA, 1>(panel, rows, keys, at),
            };
        }
    }
}

// panel [dim / PANEL, rows, PANEL] from the first of R rows on, keys [dim, BLOCK_LEN] -> scores [R, CHUNK], one block
#[inline(always)]
fn score_rows<const FMA: bool, const R: usize>(
    panel: &[f32],
    rows: usize,
    keys: &[[f32; LANES]],
    scores: &mut [f32],
) -> usize {
    let mut sums = [[0f32; LANES]; R];
    for (panel, keys) in panel.chunks(rows * PANEL).zip(keys.chunks(PANEL)) {
        let panel = &panel.as_chunks::<PANEL>().0[..R];
        for (d, keys) in keys.iter().enumerate() {
            for (q, sums) in panel.iter().zip(&mut sums) {
                for (k, sum) in keys.iter().zip(sums) {
                    *sum = multiply_add::<FMA>(q[d], *k, *sum);
                }
            }
        }
    }
    for (sums, scores) in sums.iter().zip(scores.chunks_mut(CHUNK)) {
        scores[..LANES].copy_from_slice(sums);
    }
    R
}

/// Adds values times weights to the columns from `first` on of every row's sum, in the order of positions.
// share of rows × positions -> mixed [rows, dim]
#[inline(always)]
pub(super) fn mix<E: Stored, const FMA: bool>(
    share: &Share<E>,
    first: usize,
    mixed: &mut [f32],
    dim: usize,
    wide: &mut Vec<f32>,
) {
    let positions = &share.positions;
    if share.start == Start::Zero {
        mixed.chunks_exact_mut(dim).for_each(|mixed| mixed[first..].fill(0.0));
    }
    for (b, values) in share.values.iter().enumerate() {
        let from = positions.start.max(b * BLOCK_LEN);
        let to = positions.end.min((b + 1) * BLOCK_LEN);
        if from >= to {
            continue;
        }
        let inside = from - b * BLOCK_LEN..to - b * BLOCK_LEN;
        let values = E::widen(&values[inside.start * dim..inside.end * dim], wide);
        for (weights, mixed) in share.weights.chunks(CHUNK).zip(mixed.chunks_exact_mut(dim)) {
            mix_row::<FMA>(&weights[from..to], values, first, mixed);
        }
    }
}

// weights [n], values [n, dim] -> mixed [dim], from a column on
#[inline(always)]
fn mix_row<const FMA: bool>(weights: &[f32], values: &[f32], first: usize, mixed: &mut [f32]) {
    let dim = mixed.len();
    for (at, sums) in mixed.chunks_mut(LANES).enumerate().skip(first / LANES) {
        let mut lanes = [0f32; LANES];
        lanes[..sums.len()].copy_from_slice(sums);
        for (weight, value) in weights.iter().zip(values.chunks_exact(dim)) {
            let value = &value[at * LANES..at * LANES + sums.len()];
            match value.as_chunks::<LANES>().0 {
                [value] => add_scaled::<FMA>(*weight, value, &mut lanes),
                _ => add_scaled::<FMA>(*weight, value, &mut lanes),
            }
        }
        sums.copy_from_slice(&lanes[..sums.len()]);
    }
}

#[inline(always)]
fn add_scaled<const FMA: bool>(factor: f32, values: &[f32], sums: &mut [f32; LANES]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum = multiply_add::<FMA>(factor, *value, *sum);
    }
}
