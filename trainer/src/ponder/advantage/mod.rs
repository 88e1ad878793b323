//! How much better an action was than its group: six advantage functions.
//!
//! All actions of a group answer one prompt, so that the prompt's difficulty cancels. The functions are pure, in f64, and
//! keep nothing. Means are taken about the first value, so that a group whose rewards are equal gives exact zeros.
//!
//! Published: GRPO-MA's mean over M answers (arXiv 2509.24494), RS-GRPO's exponential utility (arXiv 2509.24261), CANON's
//! two halves (arXiv 2509.23962). Ours: the choice among them, `loo` as the default, and what each docstring says.

mod group;
mod kind;

pub use group::{GroupRewards, GroupSignal, LEAST_SPREAD};
pub use kind::{Advantage, AdvantageKind, AdvantageParams, CanonMetric};

use crate::error::{TrainerError, width};
use group::{deviation, mean};

/// Added to a deviation before dividing by it.
const EPSILON: f64 = 1e-6;

/// `(V_i − mean V)/(std R + ε)`: the deviation is over all answers. With M = 1 it is GRPO's.
// [K_g, M] -> [K_g]
pub fn grpo(group: &GroupRewards) -> Vec<f64> {
    scaled(group.values(), 1.0 / (deviation(group.rewards()) + EPSILON))
}

/// `V_i − mean V`, without a scale.
// [K_g, M] -> [K_g]
pub fn dr_grpo(group: &GroupRewards) -> Vec<f64> {
    scaled(group.values(), 1.0)
}

/// `V_i − mean_{k≠i} V_k`, which is `K_g/(K_g − 1)` times [`dr_grpo`]: its gradient has no bias.
// [K_g, M] -> [K_g]
pub fn loo(group: &GroupRewards) -> Vec<f64> {
    let actions = group.values().len() as f64;
    scaled(group.values(), actions / (actions - 1.0))
}

/// `(V_i − mean V)/(std V + ε)`: the deviation is over the means (arXiv 2509.24494).
// [K_g, M] -> [K_g]
pub fn grpo_ma(group: &GroupRewards) -> Vec<f64> {
    scaled(group.values(), 1.0 / (deviation(group.values()) + EPSILON))
}

// [K_g] -> [K_g]
fn scaled(values: &[f64], scale: f64) -> Vec<f64> {
    let mean = mean(values.iter().copied());
    values.iter().map(|value| (value - mean) * scale).collect()
}

/// `(1/β)(e^{βV_i}/mean e^{βV} − 1)` (arXiv 2509.24261): β > 0 favours rare successes, β < 0 limits harm, β → 0 is
/// [`dr_grpo`].
///
/// The mean is a log-sum-exp about the largest exponent, and every difference from 1 an `expm1`, so that neither a large nor
/// a tiny β loses digits.
///
/// # Errors
///
/// [`TrainerError::NotFinite`] if β is not finite, or so large that βV is not.
// [K_g, M] -> [K_g]
pub fn rs_grpo(group: &GroupRewards, beta: f64) -> Result<Vec<f64>, TrainerError> {
    if beta == 0.0 {
        return Ok(dr_grpo(group));
    }
    let values = group.values();
    let exponents = values.iter().map(|value| beta * value);
    let most = exponents.clone().fold(f64::NEG_INFINITY, f64::max);
    // Each exponent is first taken below the largest: of that difference no digit is lost.
    let below: Vec<f64> = exponents.map(|exponent| exponent - most).collect();
    let log_mean = mean(below.iter().map(|x| x.exp_m1())).ln_1p();
    let found: Vec<f64> = below.iter().map(|x| (x - log_mean).exp_m1() / beta).collect();
    if found.iter().all(|advantage| advantage.is_finite()) {
        return Ok(found);
    }
    Err(TrainerError::NotFinite { what: "rs_grpo advantage" })
}

/// `μ(V_i − mean of the other half) + (1 − μ)(V_i − mean of the own half)`, the halves split at the median of `metric`
/// (arXiv 2509.23962).
///
/// Ties are broken by index; of an odd group the lower half is larger. Where all metrics are equal there are no halves, and
/// it is [`loo`]. The published code divides by the constant 8192; that scale is left out. Its sum is 0 only where the halves
/// are equally large or equally good.
///
/// # Errors
///
/// [`TrainerError::Width`] unless there is a metric for each action, [`TrainerError::NotFinite`] if one is not finite, and
/// [`TrainerError::Range`] unless μ lies in 0–1.
// [K_g, M], metric [K_g] -> [K_g]
pub fn canon(group: &GroupRewards, metric: &[f64], mu: f64) -> Result<Vec<f64>, TrainerError> {
    let values = group.values();
    width("metric", metric.len(), values.len())?;
    crate::error::within("canon_mu", mu, [0.0, 1.0])?;
    if !metric.iter().all(|value| value.is_finite()) {
        return Err(TrainerError::NotFinite { what: "metric" });
    }
    if metric.iter().zip(metric.iter().skip(1)).all(|(a, b)| a == b) {
        return Ok(loo(group));
    }
    let halves = halves(metric);
    let of = |half: Half| {
        let members = values.iter().zip(&halves).filter(move |(_, own)| **own == half);
        mean(members.map(|(value, _)| *value))
    };
    let (lower, upper) = (of(Half::Lower), of(Half::Upper));
    let found = values.iter().zip(&halves).map(|(value, half)| {
        let (own, other) = match half {
            Half::Lower => (lower, upper),
            Half::Upper => (upper, lower),
        };
        mu * (value - other) + (1.0 - mu) * (value - own)
    });
    Ok(found.collect())
}

/// Which side of the metric's median an action is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    Lower,
    Upper,
}

// metric [K_g] -> [K_g]
fn halves(metric: &[f64]) -> Vec<Half> {
    let mut order: Vec<(usize, f64)> = metric.iter().copied().enumerate().collect();
    // A stable sort leaves ties in the order of their indices.
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let lower = metric.len().div_ceil(2);
    let mut halves = vec![Half::Upper; metric.len()];
    for (at, _) in order.into_iter().take(lower) {
        if let Some(half) = halves.get_mut(at) {
            *half = Half::Lower;
        }
    }
    halves
}

#[cfg(test)]
mod tests;
