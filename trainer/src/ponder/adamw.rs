//! AdamW with the gradient's norm clipped.
//!
//! Weights are f32 and moments f64. All weights decay, biases too. Every sum runs in the order of the
//! weights, so that the same gradients give the same bits.

use crate::adam::AdamStep;
use crate::error::{TrainerError, positive, width, within};

/// The settings of an optimiser.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWParams {
    /// Learning rate, above 0.
    pub lr: f64,
    /// Decay of the weights in units of the learning rate, 0–1.
    pub decay: f64,
    /// Decay of the gradients' mean, 0–0.9999.
    pub beta1: f64,
    /// Decay of the squares' mean, 0–0.99999.
    pub beta2: f64,
    /// Added to the root of the squares' mean, above 0.
    pub epsilon: f64,
    /// A gradient of a larger norm is scaled to this one, above 0.
    pub largest_norm: f64,
}

impl Default for AdamWParams {
    fn default() -> Self {
        AdamWParams {
            lr: 3e-4,
            decay: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            largest_norm: 1.0,
        }
    }
}

/// The state of an optimiser.
#[derive(Debug, Clone, PartialEq)]
pub struct AdamW {
    params: AdamWParams,
    /// `[weights]`
    first: Vec<f64>,
    /// `[weights]`
    second: Vec<f64>,
    steps: u64,
}

impl AdamW {
    /// An optimiser of `weights` weights that has made no step.
    ///
    /// # Errors
    ///
    /// [`TrainerError::NotPositive`] or [`TrainerError::Range`] with the setting that is outside its range.
    pub fn new(params: AdamWParams, weights: usize) -> Result<AdamW, TrainerError> {
        positive("train.lr", params.lr)?;
        positive("epsilon", params.epsilon)?;
        positive("largest norm of a gradient", params.largest_norm)?;
        within("weight decay", params.decay, [0.0, 1.0])?;
        within("beta1", params.beta1, [0.0, 0.9999])?;
        within("beta2", params.beta2, [0.0, 0.99999])?;
        Ok(AdamW { params, first: vec![0.0; weights], second: vec![0.0; weights], steps: 0 })
    }

    /// Steps that were made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Moves the weights against the gradient; the gradient's norm before clipping is returned.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] for another number of weights or slopes, [`TrainerError::NotFinite`] if the gradient or a new
    /// weight is not finite; weights and optimiser are as they were then.
    // weights [n], gradient [n] -> []
    pub fn step(&mut self, weights: &mut [f32], gradient: &[f64]) -> Result<f64, TrainerError> {
        width("weights", weights.len(), self.first.len())?;
        width("gradient", gradient.len(), self.first.len())?;
        let norm = gradient.iter().map(|slope| slope * slope).sum::<f64>().sqrt();
        if !norm.is_finite() {
            return Err(TrainerError::NotFinite { what: "gradient" });
        }
        let limit = self.params.largest_norm;
        let scale = if norm > limit { limit / norm } else { 1.0 };
        let mut next = self.clone();
        let moved = next.moved(weights, gradient, scale);
        if !moved.iter().all(|weight| weight.is_finite()) {
            return Err(TrainerError::NotFinite { what: "weight" });
        }
        weights.copy_from_slice(&moved);
        *self = next;
        Ok(norm)
    }

    // weights [n], gradient [n] -> [n]
    fn moved(&mut self, weights: &[f32], gradient: &[f64], scale: f64) -> Vec<f32> {
        let AdamWParams { lr, decay, beta1, beta2, epsilon, .. } = self.params;
        self.steps += 1;
        let number = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let adam = AdamStep::number(number, lr, [beta1, beta2], epsilon);
        let moments = self.first.iter_mut().zip(&mut self.second);
        let all = weights.iter().zip(gradient).zip(moments);
        let moved = all.map(|((weight, slope), moments)| {
            adam.moved(f64::from(*weight), decay, slope * scale, moments) as f32
        });
        moved.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn optimiser(params: AdamWParams) -> AdamW {
        AdamW::new(params, 2).unwrap()
    }

    #[test]
    fn two_steps_are_those_by_hand() {
        let params = AdamWParams { lr: 0.1, decay: 0.5, epsilon: 1e-12, ..Default::default() };
        let (mut adam, mut weights) = (optimiser(params), [1.0f32, -2.0]);
        // A first step is the learning rate long, whatever the slope; decay takes a twentieth.
        assert_eq!(adam.step(&mut weights, &[0.3, 0.0]), Ok(0.3));
        assert!((f64::from(weights[0]) - 0.85).abs() < 1e-6, "{weights:?}");
        assert!((f64::from(weights[1]) + 1.9).abs() < 1e-6, "{weights:?}");
        adam.step(&mut weights, &[-0.1, 0.0]).unwrap();
        let first = (0.9 * 0.1 * 0.3 - 0.1 * 0.1) / (1.0 - 0.81);
        let second = (0.999 * 0.001 * 0.09 + 0.001 * 0.01) / (1.0 - 0.999f64.powi(2));
        let expected = 0.85 * 0.95 - 0.1 * first / second.sqrt();
        assert!((f64::from(weights[0]) - expected).abs() < 1e-6, "{weights:?}");
        assert_eq!(adam.steps(), 2);
    }

    #[test]
    fn a_large_gradient_counts_as_its_direction() {
        let usual = AdamWParams { epsilon: 1.0, ..Default::default() };
        let step = |gradient: [f64; 2]| {
            let (mut adam, mut weights) = (optimiser(usual), [1.0f32, 1.0]);
            let norm = adam.step(&mut weights, &gradient).unwrap();
            (norm, adam.first.clone(), weights)
        };
        let (large, unit) = (step([30.0, 40.0]), step([0.6, 0.8]));
        assert_eq!((large.0, unit.0), (50.0, 1.0));
        assert!(large.1.iter().zip(&unit.1).all(|(a, b)| (a - b).abs() < 1e-12));
        assert_eq!(large.2, unit.2);
        // A gradient within the limit is taken as it is.
        assert!((step([0.3, 0.4]).1[0] - 0.03).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_finite_changes_nothing() {
        let (mut adam, mut weights) = (optimiser(AdamWParams::default()), [1.0f32, 2.0]);
        let before = adam.clone();
        assert!(adam.step(&mut weights, &[0.1, f64::NAN]).is_err());
        assert!(adam.step(&mut weights, &[0.1, 1e200]).is_err());
        assert!(adam.step(&mut weights, &[0.1]).is_err());
        let mut broken = [f32::NAN, 1.0];
        assert!(adam.step(&mut broken, &[0.1, 0.1]).is_err());
        assert_eq!((adam, weights), (before, [1.0, 2.0]));
    }

    #[test]
    fn settings_outside_their_ranges_are_refused() {
        let usual = AdamWParams::default;
        let bad = [
            AdamWParams { lr: 0.0, ..usual() },
            AdamWParams { lr: f64::NAN, ..usual() },
            AdamWParams { decay: -0.1, ..usual() },
            AdamWParams { beta1: 1.0, ..usual() },
            AdamWParams { beta2: 1.0, ..usual() },
            AdamWParams { epsilon: 0.0, ..usual() },
            AdamWParams { largest_norm: 0.0, ..usual() },
        ];
        assert!(bad.into_iter().all(|params| AdamW::new(params, 1).is_err()));
    }
}
