//! Numbers of other programs, laws, and a planted direction.

mod controls;
mod first;
mod golden;
mod planted;
mod refusals;
mod weights;

use super::component::Sign;
use super::{Classes, gaussian};

/// States of both classes at one site.
struct States {
    width: usize,
    positive: Vec<f32>,
    negative: Vec<f32>,
    groups: Vec<u64>,
}

impl States {
    /// `n` pairs of normal states about a common mean, positives moved by `shift` along `planted`.
    fn planted(seed: u64, n: usize, planted: &[f64], shift: f64) -> States {
        let width = planted.len();
        let values = |seed| gaussian(seed, n * width);
        let moved = |by: f64, x: &f64, i: usize| (x + 0.5 + by * planted[i % width]) as f32;
        let states =
            |seed, by| values(seed).iter().enumerate().map(|(i, x)| moved(by, x, i)).collect();
        States {
            width,
            positive: states(2 * seed, shift),
            negative: states(2 * seed + 1, 0.0),
            groups: (0..n as u64).map(|i| 1000 + i).collect(),
        }
    }

    fn classes(&self) -> Classes<'_> {
        Classes::paired(self.width, &self.positive, &self.negative, &self.groups).unwrap()
    }

    fn swapped(&self) -> Classes<'_> {
        Classes::paired(self.width, &self.negative, &self.positive, &self.groups).unwrap()
    }

    /// The same pairs, last first.
    fn reversed(&self) -> States {
        let rows = |states: &[f32]| states.chunks(self.width).rev().flatten().copied().collect();
        States {
            width: self.width,
            positive: rows(&self.positive),
            negative: rows(&self.negative),
            groups: self.groups.iter().rev().copied().collect(),
        }
    }
}
