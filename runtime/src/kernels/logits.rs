//! Sums over a row of logits.

use super::math;
use super::simd::{self, LANES, Task};

/// What a row of logits says about the next token.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Spread {
    /// ln Σ exp(logit).
    pub log_sum_exp: f64,
    /// Entropy in nats.
    pub entropy: f64,
}

// logits [vocab_size]
pub(crate) fn spread(logits: &[f32]) -> Spread {
    let mut result = Spread::default();
    simd::on_widest_unit(Sum { logits, result: &mut result });
    result
}

struct Sum<'a> {
    logits: &'a [f32],
    result: &'a mut Spread,
}

impl Task for Sum<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Sum { logits, result } = self;
        let mut most = [f32::NEG_INFINITY; LANES];
        let (lines, rest) = logits.as_chunks::<LANES>();
        for line in lines {
            for (m, l) in most.iter_mut().zip(line) {
                *m = m.max(*l);
            }
        }
        let most = most.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
        // f64, because a vocabulary of small terms would lose itself in f32.
        let (mut total, mut weighted) = ([0f64; LANES], [0f64; LANES]);
        let mut add = |lane: usize, logit: f32| {
            // A banned token's gap is −∞, and −∞·0 is NaN: below −88 nothing counts.
            let gap = (logit - most).max(-88.0);
            let e = math::exp::<FMA>(gap);
            total[lane] += f64::from(e);
            weighted[lane] += f64::from(gap * e);
        };
        for line in lines {
            for (lane, l) in line.iter().enumerate() {
                add(lane, *l);
            }
        }
        rest.iter().enumerate().for_each(|(lane, l)| add(lane, *l));
        let (total, weighted) = (total.iter().sum::<f64>(), weighted.iter().sum::<f64>());
        *result = Spread {
            log_sum_exp: f64::from(most) + total.ln(),
            entropy: total.ln() - weighted / total,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_f64() {
        for n in [1usize, 7, 16, 49, 1000] {
            let logits: Vec<f32> = (0..n).map(|i| (i as f32 * 0.7).sin() * 9.0).collect();
            let total: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
            let p = |l: f32| f64::from(l).exp() / total;
            let entropy: f64 = logits.iter().map(|l| -p(*l) * p(*l).ln()).sum();
            let got = spread(&logits);
            assert!((got.log_sum_exp - total.ln()).abs() < 1e-6, "{n}");
            assert!((got.entropy - entropy).abs() < 1e-5, "{n}: {} {entropy}", got.entropy);
        }
        let banned = spread(&[0.0, f32::NEG_INFINITY, 0.0]);
        assert!((banned.entropy - 2f64.ln()).abs() < 1e-6);
    }
}
