//! How good forecasts are: log-likelihood, Brier score, calibration error.

use super::observation::{Observation, outcome_weights};
use crate::error::TrainerError;
use crate::forecast::beta_binomial::log_likelihood;

/// Bins of equal width, as in Guo et al. (arXiv 1706.04599).
const BINS: usize = 15;
/// The largest calibration error of forecasts that are called calibrated.
const CALIBRATED: f64 = 0.1;

/// Measures of a set of forecasts; every problem weighs the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForecastQuality {
    /// Mean log-likelihood of an observation, nats.
    pub log_likelihood: f64,
    /// Mean squared distance of the mean m from each outcome of 0 or 1.
    pub brier: f64,
    /// Expected calibration error of m, in 15 bins of equal width.
    pub calibration_error: f64,
}

/// Whether a forecaster may be used without naming it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalibrationVerdict {
    /// The calibration error is at most 0.1.
    Calibrated,
    /// It is larger: the file is marked `uncalibrated`.
    Uncalibrated,
}

impl ForecastQuality {
    /// Measures forecasts against counts.
    ///
    /// # Errors
    ///
    /// [`TrainerError::TooFew`] without an outcome, [`TrainerError::Range`] for a count or parameter.
    // [n] -> []
    pub fn of(observations: &[Observation]) -> Result<ForecastQuality, TrainerError> {
        let weights = outcome_weights(observations)?;
        let total: f64 = weights.iter().map(|weight| weight.outcomes).sum();
        let (mut likelihood, mut brier) = (0.0, 0.0);
        // Σ weight (forecast − rate) of each bin.
        let mut bins = [0.0; BINS];
        for (observation, weight) in observations.iter().zip(&weights) {
            let Some(rate) = observation.count.rate() else { continue };
            let m = observation.forecast.mean();
            likelihood +=
                weight.observation * log_likelihood(observation.count, observation.forecast)?;
            brier += weight.outcomes * (rate * (1.0 - m).powi(2) + (1.0 - rate) * m.powi(2));
            let bin = ((m * BINS as f64) as usize).min(BINS - 1);
            if let Some(gap) = bins.get_mut(bin) {
                *gap += weight.outcomes * (m - rate);
            }
        }
        Ok(ForecastQuality {
            log_likelihood: likelihood / total,
            brier: brier / total,
            calibration_error: bins.iter().map(|gap| gap.abs()).sum::<f64>() / total,
        })
    }

    /// Whether the calibration error is small enough.
    pub fn verdict(&self) -> CalibrationVerdict {
        if self.calibration_error <= CALIBRATED {
            CalibrationVerdict::Calibrated
        } else {
            CalibrationVerdict::Uncalibrated
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::beta_binomial::{BetaParams, Count};

    fn of(problem: u64, mean: f64, right: u32, of: u32) -> Observation {
        let forecast = BetaParams::of_mean(mean, 10.0);
        Observation { problem, forecast, count: Count { right, of } }
    }

    #[test]
    fn measures_are_by_hand() {
        // Problem 1 has eight outcomes and problem 2 one; both weigh the same.
        let found = ForecastQuality::of(&[of(1, 0.5, 6, 8), of(2, 0.9, 0, 1)]).unwrap();
        assert!((found.brier - f64::midpoint(0.25, 0.81)).abs() < 1e-12);
        assert!((found.calibration_error - f64::midpoint(0.25, 0.9)).abs() < 1e-12);
        let likelihood = |right, of, alpha, beta| {
            log_likelihood(Count { right, of }, BetaParams { alpha, beta }).unwrap()
        };
        let expected = f64::midpoint(likelihood(6, 8, 5.0, 5.0), likelihood(0, 1, 9.0, 1.0));
        assert!((found.log_likelihood - expected).abs() < 1e-12);
        assert_eq!(found.verdict(), CalibrationVerdict::Uncalibrated);
    }

    #[test]
    fn errors_of_one_bin_cancel_and_those_of_two_do_not() {
        let near = ForecastQuality::of(&[of(1, 0.41, 1, 2), of(2, 0.41, 32, 100)]).unwrap();
        assert!(near.calibration_error < 1e-12, "{near:?}");
        let apart = ForecastQuality::of(&[of(1, 0.2, 1, 2), of(2, 0.8, 1, 2)]).unwrap();
        assert!((apart.calibration_error - 0.3).abs() < 1e-12, "{apart:?}");
    }

    #[test]
    fn nothing_observed_is_refused() {
        assert_eq!(ForecastQuality::of(&[of(1, 0.5, 0, 0)]).unwrap_err().code(), "too_few");
        assert_eq!(ForecastQuality::of(&[of(1, 0.5, 2, 1)]).unwrap_err().code(), "invalid_value");
    }
}
