//! Rules side by side, on chains whose rewards are known at every grid point.
//!
//! The oracle and the best fixed length are maxima, and a maximum over the chains it is reported on is too good: choose
//! a length on one half and score it on the other. The random stop takes a policy's own lengths and deals them out at
//! random, so that its mean and spread are the policy's and only the choice of chain is lost.

use super::rule::{StopAction, StopCause, StopRule};
use crate::error::{TrainerError, at_least};
use crate::forecast::grid::ForecastGrid;
use std::collections::BTreeMap;

/// A chain with its reward if it is answered at each grid point, and its forecast there.
#[derive(Debug, Clone, PartialEq)]
pub struct StopEpisode {
    /// The problem's id.
    pub problem: u64,
    /// Reward after 0, 1, … steps, `[steps + 1]`. The chain ends by itself behind the last; its answer stays, at no
    /// further cost.
    pub rewards: Vec<f64>,
    /// m_t at each of these points, `[steps + 1]` of `[points]`; `None` is a missing forecast.
    pub forecasts: Vec<Option<Vec<f64>>>,
}

/// Where a chain was stopped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StopOutcome {
    /// Tokens it has.
    pub tokens: u32,
    /// Its reward.
    pub reward: f64,
    /// What stopped it; `None` if it ended by itself.
    pub cause: Option<StopCause>,
}

/// Means over chains.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MeanOutcome {
    /// Tokens per chain.
    pub tokens: f64,
    /// Reward per chain.
    pub reward: f64,
}

impl MeanOutcome {
    /// `E[R] − λ E[T]`.
    pub fn utility(&self, lambda: f64) -> f64 {
        self.reward - lambda * self.tokens
    }
}

/// A fixed length and what it gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FixedLength {
    /// The length, tokens.
    pub tokens: u32,
    /// What it gives on the chains it was chosen on.
    pub outcome: MeanOutcome,
}

impl StopEpisode {
    /// Runs a rule over the chain.
    ///
    /// # Errors
    ///
    /// [`TrainerError::TooFew`] for a chain without rewards, [`TrainerError::Width`] for forecasts of another
    /// number.
    // [steps + 1] -> []
    pub fn run(&self, rule: &StopRule) -> Result<StopOutcome, TrainerError> {
        crate::error::width("forecasts", self.forecasts.len(), self.rewards.len())?;
        at_least("rewards of a chain", self.rewards.len(), 1)?;
        let last = self.rewards.len() - 1;
        let step = rule.grid().step();
        for (at, (reward, means)) in self.rewards.iter().zip(&self.forecasts).enumerate() {
            let tokens = at as u32 * step;
            if at == last {
                return Ok(StopOutcome { tokens, reward: *reward, cause: None });
            }
            let decision = rule.decide(means.as_deref(), tokens)?;
            if decision.action == StopAction::Stop {
                return Ok(StopOutcome { tokens, reward: *reward, cause: Some(decision.cause) });
            }
        }
        Err(TrainerError::TooFew { what: "rewards of a chain", found: 0, least: 1 })
    }

    /// The chain stopped after `steps` steps, or where it ends.
    // [steps + 1] -> []
    fn after(&self, steps: usize, step: u32) -> Option<MeanOutcome> {
        let at = steps.min(self.rewards.len().checked_sub(1)?);
        let reward = self.rewards.get(at).copied()?;
        Some(MeanOutcome { tokens: f64::from(at as u32 * step), reward })
    }
}

/// The mean of outcomes; of none it is 0.
// [n] -> []
pub fn mean(outcomes: impl IntoIterator<Item = StopOutcome>) -> MeanOutcome {
    let each = outcomes.into_iter();
    average(each.map(|of| (MeanOutcome { tokens: f64::from(of.tokens), reward: of.reward }, 1.0)))
}

// [n] -> []
fn average(outcomes: impl Iterator<Item = (MeanOutcome, f64)>) -> MeanOutcome {
    let (mut sum, mut total) = (MeanOutcome::default(), 0.0);
    for (of, weight) in outcomes {
        sum.tokens += weight * of.tokens;
        sum.reward += weight * of.reward;
        total += weight;
    }
    // Of no outcomes both sums are 0.
    let total = if total > 0.0 { total } else { 1.0 };
    MeanOutcome { tokens: sum.tokens / total, reward: sum.reward / total }
}

/// All chains stopped at one length, a multiple of the step; shorter chains end by themselves.
///
/// # Errors
///
/// [`TrainerError::Multiple`] for a length between two grid points.
// [n] -> []
pub fn fixed(
    grid: ForecastGrid,
    episodes: &[StopEpisode],
    tokens: u32,
) -> Result<MeanOutcome, TrainerError> {
    let Some(steps) = grid.steps_at(tokens) else {
        let (value, step) = (u64::from(tokens), u64::from(grid.step()));
        return Err(TrainerError::Multiple { field: "tokens", value, step });
    };
    let each = episodes.iter().filter_map(|of| of.after(steps, grid.step()));
    Ok(average(each.map(|of| (of, 1.0))))
}

/// The length of the highest mean utility; of equals the shortest.
///
/// # Errors
///
/// [`TrainerError::TooFew`] without a chain.
// [n] -> []
pub fn best_fixed(
    grid: ForecastGrid,
    episodes: &[StopEpisode],
    lambda: f64,
) -> Result<FixedLength, TrainerError> {
    let longest = episodes.iter().map(|of| of.rewards.len()).max().unwrap_or_default();
    at_least("rewards of a chain", longest, 1)?;
    let mut best: Option<FixedLength> = None;
    for steps in 0..longest as u32 {
        let tokens = steps * grid.step();
        let outcome = fixed(grid, episodes, tokens)?;
        let beaten = best.map(|best| best.outcome.utility(lambda));
        if beaten.is_none_or(|beaten| outcome.utility(lambda) > beaten) {
            best = Some(FixedLength { tokens, outcome });
        }
    }
    best.ok_or(TrainerError::TooFew { what: "chains", found: 0, least: 1 })
}

/// The expectation of dealing `lengths` (tokens at which a policy stopped) out to the chains at random. A length
/// beyond the end of a chain is that of the chain, so the mean may be a little below the policy's.
///
/// # Errors
///
/// [`TrainerError::Multiple`] for a length between two grid points.
// lengths [k], episodes [n] -> []
pub fn random_stop(
    grid: ForecastGrid,
    episodes: &[StopEpisode],
    lengths: &[u32],
) -> Result<MeanOutcome, TrainerError> {
    let mut counts: BTreeMap<u32, f64> = BTreeMap::new();
    for tokens in lengths {
        *counts.entry(*tokens).or_default() += 1.0;
    }
    let each =
        counts.into_iter().map(|(tokens, count)| Ok((fixed(grid, episodes, tokens)?, count)));
    Ok(average(each.collect::<Result<Vec<_>, TrainerError>>()?.into_iter()))
}

/// Every chain stopped where its own utility is highest, from `min_tokens` on; of equals the earliest. No rule can do
/// better, and where rewards are draws and not expectations none can come near.
// [n] -> []
pub fn oracle(rule: &StopRule, episodes: &[StopEpisode]) -> MeanOutcome {
    let (step, params) = (rule.grid().step(), rule.params());
    let best = |of: &StopEpisode| {
        let last = of.rewards.len().checked_sub(1)?;
        let first = (params.min_tokens.div_ceil(step) as usize).min(last);
        let points = (first..=last).filter_map(|steps| of.after(steps, step));
        let better = |best: MeanOutcome, next: MeanOutcome| {
            let rises = next.utility(params.lambda) > best.utility(params.lambda);
            if rises { next } else { best }
        };
        points.reduce(better)
    };
    average(episodes.iter().filter_map(best).map(|of| (of, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::grid::GridParams;
    use crate::forecast::stop::StopParams;

    fn episode(rewards: &[f64]) -> StopEpisode {
        StopEpisode { problem: 0, rewards: rewards.to_vec(), forecasts: vec![None; rewards.len()] }
    }

    fn rule(default_length: u32) -> StopRule {
        let params =
            StopParams { default_length, lambda: 0.01, min_tokens: 0, ..StopParams::default() };
        params.check(GridParams { step: 10, max: 40 }.check().unwrap()).unwrap()
    }

    #[test]
    fn outcomes_are_by_hand() {
        let rule = rule(20);
        let all = [episode(&[0.0, 0.5, 0.9, 1.0]), episode(&[0.2, 0.4])];
        // Without forecasts both go to the default length; the second ends before it.
        let run: Vec<StopOutcome> = all.iter().map(|of| of.run(&rule).unwrap()).collect();
        assert_eq!((run[0].tokens, run[0].reward), (20, 0.9));
        assert_eq!((run[0].cause, run[1].cause), (Some(StopCause::MissingForecast), None));
        let found = mean(run);
        assert!((found.tokens - 15.0).abs() < 1e-12 && (found.reward - 0.65).abs() < 1e-12);
        assert!((found.utility(0.01) - 0.5).abs() < 1e-12);
        assert_eq!(fixed(rule.grid(), &all, 20).unwrap(), found);
        // Utilities of the lengths 0, 10, 20, 30: 0.1, 0.35, 0.5, 0.5.
        let best = best_fixed(rule.grid(), &all, 0.01).unwrap();
        assert_eq!(best.tokens, 20);
        // Half the chains at 0 tokens, half at 30.
        let random = random_stop(rule.grid(), &all, &[0, 30, 30, 0]).unwrap();
        let expected = (0.0 + 0.2 + 1.0 + 0.4) / 4.0;
        assert!((random.reward - expected).abs() < 1e-12 && (random.tokens - 10.0).abs() < 1e-12);
        // 0.9 − 0.2 of the first, 0.4 − 0.1 of the second.
        let best = oracle(&rule, &all);
        assert!((best.utility(0.01) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_chain_or_length_is_refused() {
        let rule = rule(20);
        assert_eq!(episode(&[]).run(&rule).unwrap_err().code(), "too_few");
        let short = StopEpisode { forecasts: vec![], ..episode(&[0.1]) };
        assert_eq!(short.run(&rule).unwrap_err().code(), "invalid_value");
        assert!(fixed(rule.grid(), &[], 15).is_err() && best_fixed(rule.grid(), &[], 0.0).is_err());
        assert_eq!(mean([]), MeanOutcome::default());
    }
}
