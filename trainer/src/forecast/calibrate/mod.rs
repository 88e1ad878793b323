//! Calibration of forecasts on the calibrate part.
//!
//! First an isotonic map of the mean m, one for all t; then one factor κ on α + β, by likelihood. The map puts means
//! where rates are, κ says how far single problems are from them. A count of one answer knows nothing about κ, so
//! without repeated answers κ stays 1. Both steps are ours; Re-FORC reports none.

mod isotonic;
mod observation;
mod quality;

pub use isotonic::{IsotonicMap, RatePoint, rising};
pub use observation::Observation;
pub use quality::{CalibrationVerdict, ForecastQuality};

use crate::error::TrainerError;
use crate::forecast::beta_binomial::{BetaParams, log_likelihood};
use crate::forecast::net::MOST_SUM;
use crate::forecast::split::{ProblemSplit, SplitPart};
use observation::outcome_weights;

/// κ is sought between 10⁻³ and 10³.
const LOG_RANGE: f64 = 3.0 * std::f64::consts::LN_10;
/// Points of the first, coarse search. The likelihood need not have one maximum.
const COARSE: u32 = 48;
/// Steps of the golden section that follows; the interval shrinks by 0.618 each.
const FINE: u32 = 40;
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// The factor on α + β.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ConcentrationFactor {
    /// κ by likelihood.
    Fitted(f64),
    /// No point has more than one answer: κ cannot be known, and is 1.
    Unidentified,
}

impl ConcentrationFactor {
    /// κ.
    pub fn value(self) -> f64 {
        match self {
            ConcentrationFactor::Fitted(factor) => factor,
            ConcentrationFactor::Unidentified => 1.0,
        }
    }
}

/// Whether means may fall with t: the key `forecast.isotonic`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeShape {
    /// They may: more thinking can hurt.
    Free,
    /// The nearest means that do not.
    Rising,
}

/// Map and factor.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastCalibration {
    map: IsotonicMap,
    factor: ConcentrationFactor,
}

/// What calibration changed, on the calibrate part itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationReport {
    /// Forecasts as they came from the net.
    pub before: ForecastQuality,
    /// Calibrated forecasts. The map was fitted to these counts, so this is a lower bound of the error elsewhere.
    pub after: ForecastQuality,
}

impl ForecastCalibration {
    /// Fits map and factor to observations of the calibrate part.
    ///
    /// # Errors
    ///
    /// [`TrainerError::OtherPart`] for a problem that is not in the calibrate part, [`TrainerError::TooFew`]
    /// without an outcome, [`TrainerError::Range`] for a count or parameter.
    // [n] -> [knots], []
    pub fn fit(
        split: &ProblemSplit,
        observations: &[Observation],
    ) -> Result<(ForecastCalibration, CalibrationReport), TrainerError> {
        split.require(SplitPart::Calibrate, observations.iter().map(|of| of.problem))?;
        let weights = outcome_weights(observations)?;
        let point = |(of, weight): (&Observation, f64)| {
            let forecast = of.forecast.mean();
            of.count.rate().map(|rate| RatePoint { forecast, rate, weight })
        };
        let outcomes = weights.iter().map(|weight| weight.outcomes);
        let points: Vec<RatePoint> = observations.iter().zip(outcomes).filter_map(point).collect();
        let map = IsotonicMap::fit(&points)?;
        let mapped = |of: &Observation| Observation {
            forecast: BetaParams::of_mean(map.apply(of.forecast.mean()), of.forecast.sum()),
            ..*of
        };
        let mapped: Vec<Observation> = observations.iter().map(mapped).collect();
        let each: Vec<f64> = weights.iter().map(|weight| weight.observation).collect();
        let factor = fit_factor(&mapped, &each)?;
        let calibration = ForecastCalibration { map, factor };
        let after: Vec<Observation> =
            observations.iter().map(|of| calibration.observe(of)).collect();
        let (before, after) = (ForecastQuality::of(observations)?, ForecastQuality::of(&after)?);
        Ok((calibration, CalibrationReport { before, after }))
    }

    /// The calibrated distribution at one grid point; its sum is at most 1000.
    pub fn apply(&self, forecast: BetaParams) -> BetaParams {
        let mean = self.map.apply(forecast.mean());
        scaled(BetaParams::of_mean(mean, forecast.sum()), self.factor.value())
    }

    /// The calibrated forecast of a chain.
    // [points] -> [points]
    pub fn apply_all(&self, forecast: &[BetaParams], shape: TimeShape) -> Vec<BetaParams> {
        let each: Vec<BetaParams> = forecast.iter().map(|of| self.apply(*of)).collect();
        match shape {
            TimeShape::Free => each,
            TimeShape::Rising => {
                let means: Vec<f64> = each.iter().map(|of| of.mean()).collect();
                let both = each.iter().zip(rising(&means));
                both.map(|(of, mean)| BetaParams::of_mean(mean, of.sum())).collect()
            }
        }
    }

    /// An observation with its forecast calibrated.
    pub fn observe(&self, of: &Observation) -> Observation {
        Observation { forecast: self.apply(of.forecast), ..*of }
    }

    /// κ.
    pub fn factor(&self) -> ConcentrationFactor {
        self.factor
    }

    /// The map of means.
    pub fn map(&self) -> &IsotonicMap {
        &self.map
    }
}

/// κ times the sum, at most 1000.
fn scaled(of: BetaParams, factor: f64) -> BetaParams {
    BetaParams { alpha: of.alpha * factor, beta: of.beta * factor }.capped(MOST_SUM)
}

// observations [n], weights [n] -> []
fn fit_factor(
    observations: &[Observation],
    weights: &[f64],
) -> Result<ConcentrationFactor, TrainerError> {
    if !observations.iter().any(|of| of.count.of > 1) {
        return Ok(ConcentrationFactor::Unidentified);
    }
    let value = |log_factor: f64| -> Result<f64, TrainerError> {
        let factor = log_factor.exp();
        let mut sum = 0.0;
        for (of, weight) in observations.iter().zip(weights) {
            sum += weight * log_likelihood(of.count, scaled(of.forecast, factor))?;
        }
        Ok(sum)
    };
    let step = 2.0 * LOG_RANGE / f64::from(COARSE);
    let mut best = (f64::NEG_INFINITY, 0.0);
    for at in 0..=COARSE {
        let log_factor = f64::from(at) * step - LOG_RANGE;
        let found = value(log_factor)?;
        if found > best.0 {
            best = (found, log_factor);
        }
    }
    let (mut low, mut high) = (best.1 - step, best.1 + step);
    for _ in 0..FINE {
        let (left, right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
        if value(left)? < value(right)? {
            low = left;
        } else {
            high = right;
        }
    }
    Ok(ConcentrationFactor::Fitted(f64::midpoint(low, high).exp()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::beta_binomial::Count;
    use crate::testing::Numbers;

    /// Counts of N answers to problems whose rates are Beta(m s, (1−m) s), forecast with another mean and sum.
    struct World {
        tries: u32,
        sum: f64,
        forecast_sum: f64,
        bend: f64,
    }

    impl World {
        fn draw(&self, problems: std::ops::Range<u64>, seed: u64) -> Vec<Observation> {
            let mut numbers = Numbers::of(seed);
            let draw = |problem: u64| {
                let mean = 0.05 + 0.9 * numbers.uniform();
                let rate = numbers.beta(mean * self.sum, (1.0 - mean) * self.sum);
                let right = (0..self.tries).filter(|_| numbers.uniform() < rate).count() as u32;
                let forecast = BetaParams::of_mean(mean.powf(self.bend), self.forecast_sum);
                Observation { problem, forecast, count: Count { right, of: self.tries } }
            };
            problems.map(draw).collect()
        }
    }

    fn split(calibrate: std::ops::Range<u64>) -> ProblemSplit {
        let calibrate: Vec<u64> = calibrate.collect();
        ProblemSplit::load(&[1_000_000], &calibrate, &[1_000_001]).unwrap()
    }

    #[test]
    fn m11_calibration_is_fitted_on_the_calibrate_part_only() {
        let world = World { tries: 8, sum: 6.0, forecast_sum: 6.0, bend: 1.0 };
        let mut observations = world.draw(0..50, 1);
        assert!(ForecastCalibration::fit(&split(0..50), &observations).is_ok());
        observations[7].problem = 1_000_001;
        let expected = SplitPart::Calibrate;
        let found = ForecastCalibration::fit(&split(0..50), &observations);
        assert_eq!(found, Err(TrainerError::OtherPart { problem: 1_000_001, expected }));
    }

    #[test]
    fn m11_bent_means_and_wrong_sums_are_mended_on_other_problems() {
        let world = World { tries: 8, sum: 6.0, forecast_sum: 60.0, bend: 3.0 };
        let fitted = world.draw(0..3000, 2);
        let (calibration, report) = ForecastCalibration::fit(&split(0..3000), &fitted).unwrap();
        let factor = calibration.factor().value();
        assert!((factor - 0.1).abs() < 0.015, "{factor}");
        let other = world.draw(0..3000, 3);
        let mended: Vec<Observation> = other.iter().map(|of| calibration.observe(of)).collect();
        let (before, after) =
            (ForecastQuality::of(&other).unwrap(), ForecastQuality::of(&mended).unwrap());
        assert!(before.calibration_error > 0.15 && after.calibration_error < 0.03, "{after:?}");
        assert!(after.log_likelihood > before.log_likelihood + 0.5 && after.brier < before.brier);
        assert!(report.after.calibration_error < report.before.calibration_error);
        assert_eq!(before.verdict(), CalibrationVerdict::Uncalibrated);
        assert_eq!(after.verdict(), CalibrationVerdict::Calibrated);
    }

    #[test]
    fn m11_calibrated_forecasts_stay_nearly_as_they_are() {
        let world = World { tries: 8, sum: 6.0, forecast_sum: 6.0, bend: 1.0 };
        let (calibration, _) =
            ForecastCalibration::fit(&split(0..4000), &world.draw(0..4000, 4)).unwrap();
        assert!((calibration.factor().value() - 1.0).abs() < 0.1);
        for at in 2..18 {
            let mean = f64::from(at) * 0.05;
            assert!((calibration.map().apply(mean) - mean).abs() < 0.06, "{mean}");
        }
    }

    #[test]
    fn single_answers_know_nothing_about_the_factor() {
        let world = World { tries: 1, sum: 6.0, forecast_sum: 60.0, bend: 1.0 };
        let (calibration, _) =
            ForecastCalibration::fit(&split(0..500), &world.draw(0..500, 5)).unwrap();
        assert_eq!(calibration.factor(), ConcentrationFactor::Unidentified);
        let found = calibration.apply(BetaParams { alpha: 30.0, beta: 30.0 });
        assert!((found.sum() - 60.0).abs() < 1e-9);
    }

    #[test]
    fn forecasts_rise_with_t_only_on_request() {
        let world = World { tries: 8, sum: 6.0, forecast_sum: 6.0, bend: 1.0 };
        let (calibration, _) =
            ForecastCalibration::fit(&split(0..500), &world.draw(0..500, 6)).unwrap();
        let forecast = [0.3, 0.9, 0.5, 0.95].map(|mean| BetaParams::of_mean(mean, 9.0));
        let means = |shape| -> Vec<f64> {
            calibration.apply_all(&forecast, shape).iter().map(|of| of.mean()).collect()
        };
        let (free, rising) = (means(TimeShape::Free), means(TimeShape::Rising));
        assert!(free[2] < free[1]);
        assert!(rising.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12), "{rising:?}");
        assert!((rising[1] - f64::midpoint(free[1], free[2])).abs() < 1e-12);
    }

    #[test]
    fn the_sum_stays_below_the_cap() {
        let world = World { tries: 8, sum: 300.0, forecast_sum: 3.0, bend: 1.0 };
        let (calibration, _) =
            ForecastCalibration::fit(&split(0..2000), &world.draw(0..2000, 7)).unwrap();
        assert!(calibration.factor().value() > 10.0);
        assert!(calibration.apply(BetaParams { alpha: 400.0, beta: 400.0 }).sum() <= 1000.0 + 1e-9);
    }
}
