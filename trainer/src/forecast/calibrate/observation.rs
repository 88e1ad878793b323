//! A forecast and what came of it.

use crate::error::{TrainerError, at_least};
use crate::forecast::beta_binomial::{BetaParams, Count};
use std::collections::BTreeMap;

/// One forecast for one grid point, and the answers that were tried there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// The problem's id.
    pub problem: u64,
    /// What was forecast.
    pub forecast: BetaParams,
    /// Right answers among those tried; of none it is passed over.
    pub count: Count,
}

/// Weights of an observation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ObservationWeight {
    /// Of all its outcomes together; the outcomes of a problem sum to 1.
    pub(super) outcomes: f64,
    /// Of the observation as one; the observations of a problem sum to 1.
    pub(super) observation: f64,
}

/// Weights that make every problem weigh the same. Rates weigh by outcomes, likelihoods by observations; ours.
// [n] -> [n]
pub(super) fn outcome_weights(
    observations: &[Observation],
) -> Result<Vec<ObservationWeight>, TrainerError> {
    let mut totals: BTreeMap<u64, [f64; 2]> = BTreeMap::new();
    for Observation { problem, forecast, count } in observations {
        count.check()?;
        forecast.check()?;
        if count.of > 0 {
            let [outcomes, observed] = totals.entry(*problem).or_default();
            *outcomes += f64::from(count.of);
            *observed += 1.0;
        }
    }
    at_least("problems with an outcome", totals.len(), 1)?;
    let weight = |of: &Observation| match totals.get(&of.problem).filter(|_| of.count.of > 0) {
        Some([outcomes, observed]) => ObservationWeight {
            outcomes: f64::from(of.count.of) / outcomes,
            observation: 1.0 / observed,
        },
        None => ObservationWeight { outcomes: 0.0, observation: 0.0 },
    };
    Ok(observations.iter().map(weight).collect())
}
