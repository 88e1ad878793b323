//! Many random numbers from one keyed draw.
//!
//! A choice that needs one number takes it from the runtime's draws. Where thousands are needed (a probability that is
//! estimated, a simulated user) hashing each is the larger part of the work, so one draw is the key of a counter-based
//! stream (SplitMix64, Steele, Lea and Flood 2014). The numbers are a function of the draw's key alone.

use std::f64::consts::TAU;
use trimtab_runtime::sample::{Draw, Purpose};

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of numbers that is a function of its key.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    key: u64,
    at: u64,
}

impl Stream {
    pub(super) fn keyed(draw: &Draw) -> Stream {
        let bits = draw.uniform() * (1u64 << 53) as f64;
        Stream { key: mix(bits as u64), at: 0 }
    }

    /// The stream of a seed for a purpose, at a position of its own.
    pub(super) fn of(seed: u64, purpose: &'static str, position: usize) -> Stream {
        Stream::keyed(&named(seed, purpose, position))
    }

    /// A number in [0, 1).
    pub(super) fn uniform(&mut self) -> f64 {
        self.at = self.at.wrapping_add(1);
        let bits = mix(self.key.wrapping_add(self.at.wrapping_mul(GOLDEN)));
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number of 0..n; 0 for n = 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((self.uniform() * n as f64) as usize).min(n.saturating_sub(1))
    }

    /// Independent normal numbers, by Box and Muller.
    // [] -> [n]
    pub(super) fn normals(&mut self, n: usize) -> Vec<f64> {
        let mut values = Vec::with_capacity(n + 1);
        while values.len() < n {
            let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
            let (sine, cosine) = (TAU * self.uniform()).sin_cos();
            values.extend([radius * cosine, radius * sine]);
        }
        values.truncate(n);
        values
    }

    /// The numbers 0..n in random order.
    // [] -> [n]
    pub(super) fn shuffled(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for at in (1..n).rev() {
            order.swap(at, self.below(at + 1));
        }
        order
    }
}

/// A single draw of a seed for a purpose.
pub(super) fn named(seed: u64, purpose: &'static str, position: usize) -> Draw {
    Draw { seed, choice: 0, purpose: Purpose::Named(purpose), attempt: 0, position }
}

fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_have_the_moments_they_should() {
        let mut stream = Stream::of(3, "a", 0);
        let normals = stream.normals(40_000);
        let mean = |power: i32| normals.iter().map(|x| x.powi(power)).sum::<f64>() / 40_000.0;
        let got = [mean(1), mean(2), mean(3), mean(4)];
        for (got, expected) in got.into_iter().zip([0.0, 1.0, 0.0, 3.0]) {
            assert!((got - expected).abs() < 0.12, "{got} for {expected}");
        }
        let mut order = stream.shuffled(50);
        assert_ne!(order, (0..50).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn every_part_of_the_key_counts() {
        let first = |seed, purpose, position| Stream::of(seed, purpose, position).uniform();
        let base = first(1, "a", 2);
        assert_eq!(base, first(1, "a", 2));
        assert!([first(2, "a", 2), first(1, "b", 2), first(1, "a", 3)].iter().all(|x| *x != base));
    }
}
