//! Intervals of means.
//!
//! Prompts are the sample, so what is drawn are prompts, with everything that was measured on them: a difference
//! between two arms is taken prompt by prompt first, which is what makes the bootstrap paired. Draws are keyed by a seed
//! and counted, so that an interval is the same on every machine, and two sets of equally many prompts see the same
//! draws. Of few independent runs, where resampling gives intervals that are too narrow, there is Student's.

use crate::neutral::half_width;
use serde::Serialize;
use trimtab_runtime::fingerprint::Fingerprint;
use trimtab_runtime::perplexity::quantile;

/// Draws where nothing else is asked for.
pub const DRAWS: usize = 10_000;
/// What the interval leaves out at each end.
const TAIL: f64 = 0.025;

/// A mean and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The mean of the sample.
    pub mean: f64,
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Interval {
    /// Student's interval of the mean of independent values. Of one value it has no ends, of none it is NaN.
    pub fn of_mean(values: &[f64]) -> Interval {
        let mean = mean(values);
        let freedom = values.len().saturating_sub(1);
        let half = match freedom {
            0 => f64::INFINITY,
            _ => half_width(freedom) * standard_error(values),
        };
        Interval { mean, low: mean - half, high: mean + half }
    }
}

/// The interval of a sample's mean by resampling it with replacement. Of no values it is NaN.
pub fn bootstrap(differences: &[f64], draws: usize, seed: u64) -> Interval {
    let mean = mean(differences);
    let key = Fingerprint::builder("trimtab.bootstrap").number(seed).finish().to_u64();
    let mut counter = Counter(key);
    let n = differences.len();
    let mut means: Vec<f64> = (0..draws)
        .map(|_| {
            let picked = (0..n).map(|_| differences.get(counter.below(n)).copied().unwrap_or(0.0));
            picked.sum::<f64>() / n as f64
        })
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    Interval { mean, low: quantile(&means, TAIL), high: quantile(&means, 1.0 - TAIL) }
}

/// The mean; NaN of no values.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard error of the mean: sample deviation over the root of the count. 0 of fewer than two values.
pub(super) fn standard_error(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let (n, mean) = (values.len() as f64, mean(values));
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (squares / (n - 1.0) / n).sqrt()
}

/// A counted generator (SplitMix64, doi 10.1145/2660193.2660195): the n-th number is a hash of key and n.
///
/// A cryptographic hash per draw, as sampling uses, would cost seconds here and buy nothing.
struct Counter(u64);

impl Counter {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`. The bias of the multiplication is n / 2^64.
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}
