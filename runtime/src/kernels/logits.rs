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

/// A row of logits that others are compared with.
pub(crate) struct Reference<'a> {
    logits: &'a [f32],
    weights: Vec<f32>,
    total: f64,
    log_sum_exp: f64,
    /// The first of the largest logits.
    top: usize,
}

/// What another row of logits says, and how far it is from the reference.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Contrast {
    /// ln Σ exp(logit).
    pub log_sum_exp: f64,
    /// KL(reference ‖ this) in nats; exactly 0 for equal rows.
    pub kl: f64,
    /// How often the reference's likeliest token is the likeliest here too: 0 or 1.
    pub agreed: usize,
}

impl<'a> Reference<'a> {
    // logits [vocab_size]
    pub(crate) fn of(logits: &'a [f32]) -> Self {
        let mut weights = vec![0f32; logits.len()];
        let (mut most, mut total) = (0.0, 0.0);
        simd::on_widest_unit(Weigh {
            logits,
            weights: &mut weights,
            most: &mut most,
            total: &mut total,
        });
        let top = logits.iter().position(|l| *l == most).unwrap_or_default();
        Reference { logits, weights, total, log_sum_exp: f64::from(most) + total.ln(), top }
    }

    /// ln Σ exp(logit), with the bits of [`spread`]'s.
    pub(crate) fn log_sum_exp(&self) -> f64 {
        self.log_sum_exp
    }

    // logits [vocab_size], of the same tokens
    pub(crate) fn contrast(&self, logits: &[f32]) -> Contrast {
        let (mut most, mut total, mut gain) = (0.0, 0.0, 0.0);
        simd::on_widest_unit(Compare {
            plain: self,
            logits,
            most: &mut most,
            total: &mut total,
            gain: &mut gain,
        });
        let log_sum_exp = f64::from(most) + total.ln();
        // Σ p·(ln p − ln q), where both normalisers stand before the sum.
        let kl = gain / self.total + (log_sum_exp - self.log_sum_exp);
        let agreed = usize::from(logits.get(self.top) == Some(&most));
        Contrast { log_sum_exp, kl, agreed }
    }
}

/// The largest of a row; NaN is passed over.
#[inline(always)]
fn largest(logits: &[f32]) -> f32 {
    let mut most = [f32::NEG_INFINITY; LANES];
    let (lines, rest) = logits.as_chunks::<LANES>();
    for line in lines {
        for (m, l) in most.iter_mut().zip(line) {
            *m = m.max(*l);
        }
    }
    most.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// e^(logit − most), 0 where it would be too small for the sum.
#[inline(always)]
fn weight<const FMA: bool>(logit: f32, most: f32) -> f32 {
    math::exp::<FMA>((logit - most).max(-88.0))
}

struct Weigh<'a> {
    logits: &'a [f32],
    weights: &'a mut [f32],
    most: &'a mut f32,
    total: &'a mut f64,
}

impl Task for Weigh<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Weigh { logits, weights, .. } = self;
        let most = largest(logits);
        let mut total = [0f64; LANES];
        let (lines, rest) = logits.as_chunks::<LANES>();
        let (out, out_rest) = weights.as_chunks_mut::<LANES>();
        for (line, out) in lines.iter().zip(out) {
            for lane in 0..LANES {
                let e = weight::<FMA>(line[lane], most);
                out[lane] = e;
                total[lane] += f64::from(e);
            }
        }
        for ((logit, out), total) in rest.iter().zip(out_rest).zip(&mut total) {
            *out = weight::<FMA>(*logit, most);
            *total += f64::from(*out);
        }
        *self.most = most;
        *self.total = total.iter().sum();
    }
}

struct Compare<'a> {
    plain: &'a Reference<'a>,
    logits: &'a [f32],
    most: &'a mut f32,
    total: &'a mut f64,
    /// Σ weight · (reference's logit − this one's).
    gain: &'a mut f64,
}

impl Task for Compare<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let most = largest(self.logits);
        let (mut total, mut gain) = ([0f64; LANES], [0f64; LANES]);
        let (lines, rest) = self.logits.as_chunks::<LANES>();
        let (plain, plain_rest) = self.plain.logits.as_chunks::<LANES>();
        let (weights, weights_rest) = self.plain.weights.as_chunks::<LANES>();
        for ((line, plain), weights) in lines.iter().zip(plain).zip(weights) {
            for lane in 0..LANES {
                total[lane] += f64::from(weight::<FMA>(line[lane], most));
                gain[lane] += f64::from(weights[lane]) * f64::from(plain[lane] - line[lane]);
            }
        }
        let behind = rest.iter().zip(plain_rest).zip(weights_rest);
        for (((logit, plain), w), (total, gain)) in behind.zip(total.iter_mut().zip(&mut gain)) {
            *total += f64::from(weight::<FMA>(*logit, most));
            *gain += f64::from(*w) * f64::from(*plain - *logit);
        }
        *self.most = most;
        *self.total = total.iter().sum();
        *self.gain = gain.iter().sum();
    }
}

struct Sum<'a> {
    logits: &'a [f32],
    result: &'a mut Spread,
}

impl Task for Sum<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Sum { logits, result } = self;
        let most = largest(logits);
        let (lines, rest) = logits.as_chunks::<LANES>();
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

    #[test]
    fn divergences_are_those_of_f64() {
        for n in [1usize, 7, 16, 49, 1000, 49_152] {
            let row = |step: f32, size: f32| -> Vec<f32> {
                (0..n).map(|i| (i as f32 * step).sin() * size - 3.0).collect()
            };
            let plain = row(0.7, 9.0);
            let reference = Reference::of(&plain);
            for steered in [row(0.7, 9.2), row(0.31, 14.0), row(0.7, 9.0)] {
                let log_p = |l: &[f32]| -> Vec<f64> {
                    let z = l.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln();
                    l.iter().map(|x| f64::from(*x) - z).collect()
                };
                let (p, q) = (log_p(&plain), log_p(&steered));
                let kl: f64 = p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum();
                let got = reference.contrast(&steered);
                assert!((got.kl - kl).abs() < 1e-6, "{n}: {} {kl}", got.kl);
                let own = spread(&steered).log_sum_exp;
                assert_eq!(got.log_sum_exp.to_bits(), own.to_bits(), "{n}");
            }
            let same = reference.contrast(&plain);
            assert_eq!((same.kl, same.agreed), (0.0, 1), "{n}");
            assert_eq!(reference.log_sum_exp(), spread(&plain).log_sum_exp, "{n}");
        }
    }

    #[test]
    fn the_likeliest_token_is_the_first_of_the_largest() {
        let plain = [0.0, 2.0, 2.0, 1.0];
        let agreed = |row: [f32; 4]| Reference::of(&plain).contrast(&row).agreed;
        assert_eq!(agreed([0.0, 5.0, 4.0, 1.0]), 1);
        assert_eq!(agreed([0.0, 4.0, 5.0, 1.0]), 0);
    }
}
