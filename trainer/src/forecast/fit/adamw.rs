//! AdamW on the weights of a forecaster, of which only the matrices decay.

use super::params::FitParams;
use crate::adam::AdamStep;
use crate::forecast::net::{ForecastShape, ForecastWeights};

/// Decay rates of both moments and the smallest denominator, as published for Adam.
const BETAS: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;
/// Which of [`ForecastWeights::parts`] decay: the matrices.
const DECAYS: [f64; 6] = [1.0, 1.0, 1.0, 0.0, 1.0, 0.0];

/// Both moments of the gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastAdam {
    first: ForecastWeights<f64>,
    second: ForecastWeights<f64>,
    steps: i32,
}

impl ForecastAdam {
    /// No gradient seen.
    pub fn new(shape: ForecastShape) -> ForecastAdam {
        let [first, second] = [(); 2].map(|()| ForecastWeights::zeros(shape));
        ForecastAdam { first, second, steps: 0 }
    }

    /// One step down the gradient. All three are of the same sizes.
    // [weights], [weights] -> [weights]
    pub fn step(
        &mut self,
        params: &FitParams,
        weights: &mut ForecastWeights<f64>,
        gradient: &ForecastWeights<f64>,
    ) {
        self.steps = self.steps.saturating_add(1);
        let adam = AdamStep::number(self.steps, params.learning_rate, BETAS, EPSILON);
        let moments = self.first.parts_mut().into_iter().zip(self.second.parts_mut());
        let parts = weights.parts_mut().into_iter().zip(gradient.parts()).zip(moments).zip(DECAYS);
        for (((weights, gradient), (first, second)), decays) in parts {
            let values = weights.iter_mut().zip(gradient).zip(first.iter_mut().zip(second));
            for ((weight, slope), moments) in values {
                *weight = adam.moved(*weight, params.decay * decays, *slope, moments);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ForecastShape = ForecastShape { width: 2, heads: 1, hidden: 8, points: 3 };

    fn filled(value: f64) -> ForecastWeights<f64> {
        let mut weights = ForecastWeights::zeros(SHAPE);
        weights.parts_mut().into_iter().flatten().for_each(|of| *of = value);
        weights
    }

    #[test]
    fn two_steps_are_by_hand() {
        let params = FitParams { learning_rate: 0.1, decay: 0.5, ..FitParams::default() };
        let (mut adam, mut weights) = (ForecastAdam::new(SHAPE), filled(2.0));
        adam.step(&params, &mut weights, &filled(3.0));
        // The first step has length 1 whatever the gradient's size.
        let expected = [2.0 * 0.95 - 0.1, 2.0 - 0.1];
        assert!((weights.queries[0] - expected[0]).abs() < 1e-8);
        assert!((weights.hidden_bias[0] - expected[1]).abs() < 1e-8);
        adam.step(&params, &mut weights, &filled(-1.0));
        let m: f64 = (0.9 * 0.3 - 0.1) / (1.0 - 0.81);
        let v: f64 = (0.999 * 0.009 + 0.001) / (1.0 - 0.999 * 0.999);
        let step = 0.1 * m / v.sqrt();
        assert!((weights.queries[0] - (expected[0] * 0.95 - step)).abs() < 1e-8);
        assert!((weights.output_bias[0] - (expected[1] - step)).abs() < 1e-8);
        assert_eq!(adam.steps, 2);
    }

    #[test]
    fn decay_does_not_go_through_the_moments() {
        let params = FitParams { learning_rate: 0.1, decay: 0.5, ..FitParams::default() };
        let (mut adam, mut weights) = (ForecastAdam::new(SHAPE), filled(2.0));
        for _ in 0..3 {
            adam.step(&params, &mut weights, &filled(0.0));
        }
        assert_eq!(adam.first, filled(0.0));
        assert!((weights.output[0] - 2.0 * 0.95f64.powi(3)).abs() < 1e-12);
        assert_eq!(weights.output_bias[0], 2.0);
    }
}
