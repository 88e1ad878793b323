//! What several vectors push at one site, as a function of one factor on those that may be changed.
//!
//! Constant additions that act on the same positions are one vector, so their push is the length of the sum: opposite
//! pushes cancel. What acts on positions of its own, or turns the stream, is counted by its length, because somewhere
//! it may act alone or with all the others. The result is an upper bound, and convex in the factor.

use super::algebra::dot;
use super::dose::Standing;
use crate::scope::Scope;

/// Steps of the bisection: the interval is halved down to the spacing of doubles.
const HALVINGS: usize = 60;

/// The pushes of one phase: of those that stay and of those that may be changed.
#[derive(Debug, Clone, Default)]
struct Phase {
    kept: Vec<f64>,
    free: Vec<f64>,
}

impl Phase {
    // [width] onto [width]
    fn add(&mut self, standing: Standing, coefficient: f64, row: &[f32]) {
        let sum = match standing {
            Standing::Protected => &mut self.kept,
            Standing::Free => &mut self.free,
        };
        sum.resize(sum.len().max(row.len()), 0.0);
        sum.iter_mut().zip(row).for_each(|(s, v)| *s += coefficient * f64::from(*v));
    }

    /// Squared length at factor t, 0 of what nobody pushes, as `a + 2 b t + c t²`.
    fn square(&self) -> [f64; 3] {
        [dot(&self.kept, &self.kept), dot(&self.kept, &self.free), dot(&self.free, &self.free)]
    }
}

/// Everything that acts at one site.
#[derive(Debug, Clone, Default)]
pub(super) struct Load {
    prompt: Phase,
    generated: Phase,
    /// Lengths that are summed.
    kept: f64,
    free: f64,
}

impl Load {
    /// A constant addition of `coefficient · row`.
    pub(super) fn push(
        &mut self,
        scope: &Scope,
        standing: Standing,
        coefficient: f64,
        row: &[f32],
    ) {
        let phases = [&mut self.prompt, &mut self.generated];
        let chosen = if *scope == Scope::all() {
            [true, true]
        } else if *scope == Scope::prompt() {
            [true, false]
        } else if *scope == Scope::generated() {
            [false, true]
        } else {
            return self.turn(standing, coefficient.abs());
        };
        for (phase, _) in phases.into_iter().zip(chosen).filter(|(_, chosen)| *chosen) {
            phase.add(standing, coefficient, row);
        }
    }

    /// Something of which only the largest length is known.
    pub(super) fn turn(&mut self, standing: Standing, length: f64) {
        match standing {
            Standing::Protected => self.kept += length,
            Standing::Free => self.free += length,
        }
    }

    /// The push, made ready to be asked at several factors.
    pub(super) fn curve(&self) -> Curve {
        Curve {
            squares: [self.prompt.square(), self.generated.square()],
            lengths: [self.kept, self.free],
        }
    }
}

/// Length of a site's push at a factor of the unprotected coefficients.
#[derive(Debug, Clone, Copy)]
pub(super) struct Curve {
    squares: [[f64; 3]; 2],
    lengths: [f64; 2],
}

impl Curve {
    pub(super) fn at(&self, factor: f64) -> f64 {
        let squared = self.squares.iter().map(|[a, b, c]| a + factor * (2.0 * b + factor * c));
        let [kept, free] = self.lengths;
        squared.fold(0.0, f64::max).sqrt() + kept + factor * free
    }

    /// The largest factor up to 1 that keeps the push at or below `most`, which it must be at factor 0.
    pub(super) fn fits(&self, most: f64) -> f64 {
        if self.at(1.0) <= most {
            return 1.0;
        }
        // The curve is convex and below at 0, so it crosses once.
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..HALVINGS {
            let middle = 0.5 * (low + high);
            if self.at(middle) <= most { low = middle } else { high = middle }
        }
        low
    }
}
