//! A distribution-free bound on what a stopping threshold loses.
//!
//! A chain that is stopped early may lose an answer that would have been right. [`smallest_threshold`] returns the
//! smallest threshold (the one that stops earliest) such that, with confidence 1 − δ over the problems it was
//! calibrated on, at most a share r of those answers is lost. It is Learn then Test (Angelopoulos et al., arXiv
//! 2110.01052) with the Hoeffding-Bentkus p-value (Bates et al., arXiv 2101.02703) of "the share is above r", and
//! fixed-sequence testing: thresholds are tested from the largest, which stops last, downwards, until one is not
//! rejected. No order or shape of the losses is assumed; problems must be independent and alike at calibration and in
//! use. Its use for stopping is ours.
//!
//! Losses belong to the problems whose answer *would have been right* at full length, and to those alone: the share is
//! among them. One chain per problem keeps them independent; several may enter as their mean.

use crate::error::{TrainerError, at_least, width, within};
use statrs::function::beta::checked_beta_reg;
use std::f64::consts::E;

/// What is to be held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RiskParams {
    /// r, the largest share of right answers that may be lost: in (0, 1).
    pub share: f64,
    /// δ, the probability with which the bound may fail: in (0, 1).
    pub delta: f64,
}

/// A threshold that the bound holds for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CertifiedThreshold {
    /// The threshold.
    pub threshold: f64,
    /// The share lost at calibration.
    pub lost: f64,
    /// Its p-value, at most δ.
    pub p_value: f64,
}

/// The p-value of "the mean loss is above r" from n losses in [0, 1] that sum to `sum`:
///
/// ```text
/// p = min( exp(−n h(min(R, r), r)),  e P(Bin(n, r) ≤ ⌈n R⌉) ),   h(a, b) = a ln(a/b) + (1−a) ln((1−a)/(1−b))
/// ```
///
/// # Errors
///
/// [`TrainerError::Range`] for r or the sum, [`TrainerError::TooFew`] for n = 0.
// [] -> []
pub fn hoeffding_bentkus(n: usize, sum: f64, share: f64) -> Result<f64, TrainerError> {
    at_least("problems that would have been right", n, 1)?;
    let n = n as f64;
    within("risk.share", share, [f64::MIN_POSITIVE, 1.0 - f64::EPSILON])?;
    within("sum of losses", sum, [0.0, n])?;
    let mean = (sum / n).min(share);
    // 0 ln 0 is 0.
    let term = |a: f64, b: f64| if a > 0.0 { a * (a / b).ln() } else { 0.0 };
    let hoeffding = (-n * (term(mean, share) + term(1.0 - mean, 1.0 - share))).exp();
    let bentkus = E * binomial_below(n, sum.ceil(), share)?;
    Ok(hoeffding.min(bentkus).min(1.0))
}

/// `P(Bin(n, p) ≤ k) = I_{1−p}(n − k, k + 1)`.
fn binomial_below(n: f64, k: f64, p: f64) -> Result<f64, TrainerError> {
    if k >= n {
        return Ok(1.0);
    }
    let found = checked_beta_reg(n - k, k + 1.0, 1.0 - p);
    found.map_err(|_| TrainerError::NotFinite { what: "incomplete beta function" })
}

/// The smallest threshold that the bound holds for. `thresholds` fall, and were fixed before the losses were seen;
/// `losses[i]` are those of threshold i, one per problem that would have been right: 1 for a lost answer, 0 for a kept
/// one. `None` if not even the largest threshold is certified: do not stop early then.
///
/// # Errors
///
/// [`TrainerError::Order`] unless thresholds fall, [`TrainerError::Width`] for losses of another number,
/// [`TrainerError::Range`] for a loss or a key, [`TrainerError::TooFew`] without problems.
// thresholds [k], losses [k] of [n] -> []
pub fn smallest_threshold(
    params: RiskParams,
    thresholds: &[f64],
    losses: &[Vec<f64>],
) -> Result<Option<CertifiedThreshold>, TrainerError> {
    within("risk.delta", params.delta, [f64::MIN_POSITIVE, 1.0 - f64::EPSILON])?;
    width("losses", losses.len(), thresholds.len())?;
    // A NaN does not fall.
    if !thresholds.is_sorted_by(|a, b| a > b) || thresholds.iter().any(|t| t.is_nan()) {
        return Err(TrainerError::Order { what: "thresholds", expected: "falling" });
    }
    let n = losses.first().map_or(0, Vec::len);
    let mut best = None;
    let mut refused = false;
    for (threshold, losses) in thresholds.iter().zip(losses) {
        width("losses of a threshold", losses.len(), n)?;
        losses.iter().try_for_each(|loss| within("loss", *loss, [0.0, 1.0]).map(|_| ()))?;
        let sum: f64 = losses.iter().sum();
        let p_value = hoeffding_bentkus(n, sum, params.share)?;
        refused |= p_value > params.delta;
        if !refused {
            let lost = sum / n as f64;
            best = Some(CertifiedThreshold { threshold: *threshold, lost, p_value });
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Numbers;

    const PARAMS: RiskParams = RiskParams { share: 0.1, delta: 0.1 };

    /// A chain's answer is lost at a threshold below its own number, which is uniform: the share lost at threshold τ
    /// is 1 − τ. Thresholds fall from 1 to 0.8 in steps of 0.005, so some just miss the share of 0.1.
    struct World {
        thresholds: Vec<f64>,
        losses: Vec<Vec<f64>>,
    }

    impl World {
        fn draw(n: usize, numbers: &mut Numbers) -> World {
            let thresholds: Vec<f64> = (0..=40).map(|i| 1.0 - f64::from(i) * 0.005).collect();
            let own: Vec<f64> = (0..n).map(|_| numbers.uniform()).collect();
            let lost = |t: &f64| own.iter().map(|own| f64::from(u8::from(own > t))).collect();
            let losses = thresholds.iter().map(lost).collect();
            World { thresholds, losses }
        }

        fn certified(&self) -> Option<f64> {
            let found = smallest_threshold(PARAMS, &self.thresholds, &self.losses).unwrap();
            found.map(|found| found.threshold)
        }

        /// The smallest threshold with an empirical share of at most r: no bound.
        fn naive(&self) -> f64 {
            let share = |losses: &Vec<f64>| losses.iter().sum::<f64>() / losses.len() as f64;
            let good = self.thresholds.iter().zip(&self.losses);
            let good = good.filter(|(_, losses)| share(losses) <= PARAMS.share);
            good.map(|(t, _)| *t).fold(1.0, f64::min)
        }
    }

    #[test]
    fn the_bound_holds_over_simulated_draws_and_the_empirical_share_does_not() {
        let mut numbers = Numbers::of(1);
        for (n, draws) in [(50, 2000), (200, 2000), (1000, 700)] {
            let (mut failed, mut naive, mut gap) = (0, 0, 0.0);
            for _ in 0..draws {
                let world = World::draw(n, &mut numbers);
                let found = world.certified();
                failed += usize::from(found.is_some_and(|t| 1.0 - t > PARAMS.share + 1e-9));
                naive += usize::from(1.0 - world.naive() > PARAMS.share + 1e-9);
                gap += found.unwrap_or(1.0) - 0.9;
            }
            // Three standard deviations of a share of 0.1 are 0.02 at 2000 draws.
            assert!(failed <= draws * 12 / 100, "{failed} of {draws} fail at n = {n}");
            assert!(naive > draws * 25 / 100, "{naive} of {draws}: the control is too good");
            // And it is not held by never stopping.
            let most = if n == 50 { 0.101 } else { 1.2 / (n as f64).sqrt() };
            assert!(gap / draws as f64 <= most, "{} at n = {n}", gap / draws as f64);
        }
    }

    #[test]
    fn the_p_value_is_that_of_direct_sums() {
        for (n, k, r) in [(10usize, 0usize, 0.1f64), (50, 2, 0.1), (200, 10, 0.1), (2000, 150, 0.1)]
        {
            let mut term = (1.0 - r).powi(n as i32);
            let mut tail = 0.0;
            for i in 0..=k {
                tail += term;
                term *= (n - i) as f64 / (i + 1) as f64 * r / (1.0 - r);
            }
            let (a, count) = (k as f64 / n as f64, n as f64);
            let hoeffding = if k == 0 {
                (1.0 - r).powi(n as i32)
            } else {
                (a / r).powf(-count * a) * ((1.0 - a) / (1.0 - r)).powf(-count * (1.0 - a))
            };
            let expected = hoeffding.min(E * tail).min(1.0);
            let found = hoeffding_bentkus(n, k as f64, r).unwrap();
            assert!((found - expected).abs() <= 1e-9 * expected, "{found:e} for {expected:e}");
        }
        assert_eq!(hoeffding_bentkus(20, 2.0, 0.1).unwrap(), 1.0);
        assert_eq!(hoeffding_bentkus(20, 20.0, 0.1).unwrap(), 1.0);
        // A fraction of a loss counts as a whole one for the binomial bound.
        let half = hoeffding_bentkus(50, 1.5, 0.1).unwrap();
        let [one, two] = [1.0, 2.0].map(|sum| hoeffding_bentkus(50, sum, 0.1).unwrap());
        assert!(one < half && half <= two);
    }

    #[test]
    fn a_threshold_behind_a_refused_one_is_not_taken() {
        let (kept, lost) = (vec![0.0; 100], vec![1.0; 100]);
        let found = |losses: [&Vec<f64>; 3]| {
            let losses: Vec<Vec<f64>> = losses.into_iter().cloned().collect();
            smallest_threshold(PARAMS, &[0.9, 0.8, 0.7], &losses).unwrap().map(|of| of.threshold)
        };
        assert_eq!(found([&kept, &kept, &kept]), Some(0.7));
        assert_eq!(found([&kept, &lost, &kept]), Some(0.9));
        assert_eq!(found([&lost, &kept, &kept]), None);
    }

    #[test]
    fn wrong_input_is_refused() {
        let losses = vec![vec![0.0; 5]; 2];
        let run = |params, thresholds: &[f64], losses: &[Vec<f64>]| {
            smallest_threshold(params, thresholds, losses).unwrap_err().code()
        };
        assert_eq!(run(PARAMS, &[0.1, 0.2], &losses), "invalid_value");
        assert_eq!(run(PARAMS, &[0.2, 0.2], &losses), "invalid_value");
        assert_eq!(run(PARAMS, &[f64::NAN, 0.2], &losses), "invalid_value");
        assert_eq!(run(PARAMS, &[0.2], &losses), "invalid_value");
        assert_eq!(run(PARAMS, &[0.2, 0.1], &[vec![0.0; 5], vec![0.0; 4]]), "invalid_value");
        assert_eq!(run(PARAMS, &[0.2], &[vec![1.5]]), "invalid_value");
        assert_eq!(run(PARAMS, &[0.2], &[vec![]]), "too_few");
        assert_eq!(run(RiskParams { share: 0.0, ..PARAMS }, &[0.2, 0.1], &losses), "invalid_value");
        assert_eq!(run(RiskParams { delta: 1.0, ..PARAMS }, &[0.2, 0.1], &losses), "invalid_value");
    }
}
