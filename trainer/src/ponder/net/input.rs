//! What the controller reads: a state, standardised, at each rung of the ladder.

use crate::error::{TrainerError, width};
use crate::ponder::strength::Ladder;

/// A coordinate whose deviation is this part of the largest, or of its own mean, is constant but for rounding.
const LEAST_DEVIATION: f64 = 1e-6;
/// How far the norm of a unit vector may be from 1 in f32.
const UNIT_TOLERANCE: f64 = 1e-3;

/// Frozen mean c and deviation σ of the states.
#[derive(Debug, Clone, PartialEq)]
pub struct Standard {
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl Standard {
    /// A mean and a deviation that were computed before.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] unless both have the same width, [`TrainerError::NotFinite`] for a mean that is not finite,
    /// [`TrainerError::NotPositive`] for a deviation that is not finite and above 0.
    // [d], [d]
    pub fn new(mean: Vec<f32>, deviation: Vec<f32>) -> Result<Standard, TrainerError> {
        width("deviation of the states", deviation.len(), mean.len())?;
        if !mean.iter().all(|value| value.is_finite()) {
            return Err(TrainerError::NotFinite { what: "mean of the states" });
        }
        for value in &deviation {
            crate::error::positive("deviation of the states", f64::from(*value))?;
        }
        Ok(Standard { mean, deviation })
    }

    /// The mean and the population's deviation of states. A coordinate that is constant gets the largest deviation (ours):
    /// divided by its own, a step along the direction would be an input of millions.
    ///
    /// # Errors
    ///
    /// [`TrainerError::TooFew`] for fewer than two states, [`TrainerError::Width`] if they differ in width,
    /// [`TrainerError::NotFinite`] if a value is not finite, [`TrainerError::NotPositive`] if all states are equal.
    // [n, d] -> [d], [d]
    pub fn of(states: &[&[f32]]) -> Result<Standard, TrainerError> {
        let (found, first) = (states.len(), states.first());
        let Some(first) = first.filter(|_| found > 1) else {
            return Err(TrainerError::TooFew { what: "states", found, least: 2 });
        };
        let count = found as f64;
        let mut mean = vec![0f64; first.len()];
        for state in states {
            width("state", state.len(), first.len())?;
            mean.iter_mut().zip(*state).for_each(|(sum, z)| *sum += f64::from(*z) / count);
        }
        let mut deviation = vec![0f64; first.len()];
        for state in states {
            let all = deviation.iter_mut().zip(*state).zip(&mean);
            all.for_each(|((sum, z), c)| *sum += (f64::from(*z) - c).powi(2) / count);
        }
        deviation.iter_mut().for_each(|square| *square = square.sqrt());
        let most = deviation.iter().copied().fold(0.0, f64::max);
        for (deviation, mean) in deviation.iter_mut().zip(&mean) {
            if *deviation <= LEAST_DEVIATION * most.max(mean.abs()) {
                *deviation = most;
            }
        }
        let short = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
        Standard::new(short(mean), short(deviation))
    }

    /// c, `[d]`.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// σ, `[d]`.
    pub fn deviation(&self) -> &[f32] {
        &self.deviation
    }
}

/// A decision's place on the ladder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rung {
    /// s_k, what was added so far.
    pub(super) strength: f64,
    /// k/K, how far up the ladder it is.
    pub(super) part: f64,
}

/// What a controller reads a state through: the standard, the direction ĥ and the ladder.
#[derive(Debug, Clone, PartialEq)]
pub struct ControllerInput {
    standard: Standard,
    direction: Vec<f32>,
    ladder: Ladder,
}

impl ControllerInput {
    /// An input for states of the standard's width.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] for a direction of another width, [`TrainerError::NotFinite`] if it is not finite, and
    /// [`TrainerError::Range`] unless its norm is 1 to 1e-3.
    // direction [d]
    pub fn new(
        standard: Standard,
        direction: Vec<f32>,
        ladder: Ladder,
    ) -> Result<ControllerInput, TrainerError> {
        width("direction", direction.len(), standard.mean.len())?;
        let norm = direction.iter().map(|h| f64::from(*h).powi(2)).sum::<f64>().sqrt();
        if !norm.is_finite() {
            return Err(TrainerError::NotFinite { what: "direction" });
        }
        let unit = [1.0 - UNIT_TOLERANCE, 1.0 + UNIT_TOLERANCE];
        crate::error::within("norm of the direction", norm, unit)?;
        Ok(ControllerInput { standard, direction, ladder })
    }

    /// d, the width of a state.
    pub fn width(&self) -> usize {
        self.direction.len()
    }

    /// The frozen mean and deviation.
    pub fn standard(&self) -> &Standard {
        &self.standard
    }

    /// ĥ, `[d]`.
    pub fn direction(&self) -> &[f32] {
        &self.direction
    }

    /// The strengths.
    pub fn ladder(&self) -> &Ladder {
        &self.ladder
    }

    /// Refuses a state of another width or with a value that is not finite.
    // z_0 [d]
    pub(super) fn check(&self, state: &[f32]) -> Result<(), TrainerError> {
        width("state", state.len(), self.width())?;
        if state.iter().all(|z| z.is_finite()) {
            return Ok(());
        }
        Err(TrainerError::NotFinite { what: "state" })
    }

    /// The places where a decision is taken: k = 0 … K − 1.
    pub(super) fn rungs(&self) -> impl Iterator<Item = Rung> {
        let steps = self.ladder.steps();
        let places = self.ladder.strengths().into_iter().enumerate().take(steps);
        places.map(move |(k, strength)| Rung { strength, part: k as f64 / steps as f64 })
    }

    /// `(z_0 + s ĥ − c)/σ`
    // z_0 [d] -> [d]
    pub(super) fn moved(&self, state: &[f32], strength: f64) -> Vec<f64> {
        let standard = self.standard.mean.iter().zip(&self.standard.deviation);
        let all = state.iter().zip(&self.direction).zip(standard);
        let entry = |((z, h), (c, sigma)): ((&f32, &f32), (&f32, &f32))| {
            (f64::from(*z) + strength * f64::from(*h) - f64::from(*c)) / f64::from(*sigma)
        };
        all.map(entry).collect()
    }

    /// The direction in units of the inputs: `ĥ/σ`.
    // [] -> [d]
    pub(super) fn scaled_direction(&self) -> Vec<f64> {
        let all = self.direction.iter().zip(&self.standard.deviation);
        all.map(|(h, sigma)| f64::from(*h) / f64::from(*sigma)).collect()
    }
}
