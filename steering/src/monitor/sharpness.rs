//! Sharpness of attention: where an answer hangs on few earlier tokens.
//!
//! From "Cognition-of-Thought Elicits Social-Aligned Reasoning in Large Language Models" (arXiv 2509.23441). Of the attention row of
//! the query that chose a token, averaged over the heads of the last blocks: its largest weight, plus 1 less its entropy over
//! the largest possible. A uniform row of n gives 1/n, a row on one token 2. Position 0 is left out by default: attention
//! rests there when it has nothing to look at, and all rows look sharp with it.

use crate::error::{Error, Result};
use trimtab_runtime::monitor::Sensed;

/// How many blocks, from the last, are averaged.
const BLOCKS: usize = 4;
/// How far back from now a peak may lie.
pub(super) const REACH: usize = 10;

/// Whether the first position counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sink {
    /// It is left out, and the rest made to sum to 1 again.
    #[default]
    Excluded,
    /// It counts like every other.
    Kept,
}

/// The rule to rewind to the most recent peak of sharpness.
#[derive(Debug, Clone, PartialEq)]
pub struct Sharpness {
    tau: f64,
    sink: Sink,
    blocks: Vec<usize>,
}

impl Sharpness {
    /// Peaks below `tau` do not count; published: 0.1. Reads the last four of so many blocks.
    pub fn new(tau: f64, sink: Sink, n_layers: usize) -> Result<Sharpness> {
        if !(0.0..=2.0).contains(&tau) {
            return Err(Error::setting("tau", format!("is {tau}, expected 0 to 2")));
        }
        Ok(Sharpness { tau, sink, blocks: (n_layers.saturating_sub(BLOCKS)..n_layers).collect() })
    }

    /// The blocks whose attention it reads.
    pub fn blocks(&self) -> &[usize] {
        &self.blocks
    }

    /// The sharpness of a token's row; 0 where none was read.
    pub(super) fn read(&self, sensed: Option<&Sensed>) -> f64 {
        let heads = self.blocks.iter().filter_map(|block| sensed?.attention.get(block)).flatten();
        let (mut sum, mut count): (Vec<f64>, usize) = (Vec::new(), 0);
        for head in heads {
            sum.resize(sum.len().max(head.len()), 0.0);
            sum.iter_mut().zip(head).for_each(|(sum, weight)| *sum += f64::from(*weight));
            count += 1;
        }
        sum.iter_mut().for_each(|weight| *weight /= count.max(1) as f64);
        match self.sink {
            Sink::Kept => sharpness(&sum),
            Sink::Excluded => sharpness(sum.get(1..).unwrap_or_default()),
        }
    }

    /// The most recent peak among the last tokens, at `from` or later. The newest has no right neighbour and is never one.
    pub(super) fn peak(&self, values: &[f64], from: usize) -> Peaks {
        let first = values.len().saturating_sub(REACH).max(from).max(1);
        let mut peaks = Peaks::default();
        for at in first..values.len().saturating_sub(1) {
            let around = (values.get(at - 1), values.get(at), values.get(at + 1));
            let (Some(before), Some(here), Some(after)) = around else { continue };
            if here > before && here >= after {
                peaks.all += 1;
                if *here >= self.tau {
                    peaks.counted += 1;
                    peaks.latest = Some(at);
                }
            }
        }
        peaks
    }
}

/// The local maxima in reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Peaks {
    pub(super) all: usize,
    /// Those at the threshold or above.
    pub(super) counted: usize,
    /// The latest of these.
    pub(super) latest: Option<usize>,
}

/// max + 1 − H / ln n of a row of weights, made to sum to 1. Rows of one weight are as sharp as can be, of none not at all.
// weights [n] -> []
pub fn sharpness(weights: &[f64]) -> f64 {
    let sum: f64 = weights.iter().sum();
    if !(sum.is_finite() && sum > 0.0) {
        return 0.0;
    }
    if weights.len() == 1 {
        return 2.0;
    }
    let shares = weights.iter().map(|weight| weight / sum);
    let (largest, entropy) = shares.fold((0f64, 0f64), |(largest, entropy), share| {
        let bits = if share > 0.0 { -share * share.ln() } else { 0.0 };
        (largest.max(share), entropy + bits)
    });
    largest + 1.0 - entropy / (weights.len() as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_uniform_row_gives_one_over_n_and_a_pointed_one_two() {
        for n in [2usize, 3, 10, 500] {
            assert!((sharpness(&vec![0.25; n]) - 1.0 / n as f64).abs() < 1e-12);
            let mut row = vec![0.0; n];
            row[n / 2] = 3.0;
            assert!((sharpness(&row) - 2.0).abs() < 1e-12);
        }
        assert_eq!(sharpness(&[]), 0.0);
        assert_eq!(sharpness(&[f64::NAN, 1.0]), 0.0);
    }

    #[test]
    fn the_first_position_is_left_out_and_blocks_are_averaged() {
        let rule = Sharpness::new(0.1, Sink::Excluded, 6).unwrap();
        assert_eq!(rule.blocks(), [2, 3, 4, 5]);
        let mut sensed = Sensed::default();
        for block in 2..6 {
            let spread = vec![0.9f32, 0.05, 0.05];
            let pointed = vec![0.8f32, 0.2, 0.0];
            sensed
                .attention
                .insert(block, if block % 2 == 0 { vec![spread] } else { vec![pointed] });
        }
        // Means .85, .125, .025: without the first 5/6 and 1/6.
        let (a, b) = (5.0 / 6.0, 1.0 / 6.0);
        let entropy: f64 = -(a * f64::ln(a) + b * f64::ln(b));
        let expected = a + 1.0 - entropy / 2f64.ln();
        assert!((rule.read(Some(&sensed)) - expected).abs() < 1e-6);
        let kept = Sharpness::new(0.1, Sink::Kept, 6).unwrap();
        assert!(kept.read(Some(&sensed)) > 1.2, "with the sink everything looks sharp");
        assert_eq!(rule.read(None), 0.0);
        assert!(Sharpness::new(f64::NAN, Sink::Kept, 6).is_err());
    }

    proptest! {
        #[test]
        fn peaks_equal_brute_force(values in prop::collection::vec(0f64..0.3, 0..40), from in 0usize..40) {
            let rule = Sharpness::new(0.1, Sink::Excluded, 6).unwrap();
            let found = rule.peak(&values, from).latest;
            let n = values.len();
            let is_peak = |j: usize| {
                j >= from && j + REACH >= n && j >= 1 && j + 1 < n
                    && values[j] >= 0.1 && values[j] > values[j - 1] && values[j] >= values[j + 1]
            };
            prop_assert_eq!(found, (0..n).rev().find(|j| is_peak(*j)));
        }
    }
}
