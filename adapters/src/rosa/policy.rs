//! The old policy over the kept tokens: what the linear system and the trust region are made of.

use super::lesson::{LSE_TOLERANCE, Lesson, same_partition};
use super::logits;
use super::refusal::{SkipReason, Tried};
use super::support::SupportRows;
use super::trace::TokenOrigin;

/// Least probability of a token that the model is said to have chosen.
const LEAST_PROBABILITY: f64 = 1e-12;

/// `p_t(v)` at temperature 1 over the kept tokens and the pseudo-token, and the observed tokens in it.
pub(super) struct Policy<'a> {
    pub(super) rows: SupportRows<'a>,
    /// `[t, n]`, every row with a sum of 1.
    pub(super) p: Vec<f32>,
    /// `W_S·h` of the states as served, `[t, n]`.
    pub(super) scores: Vec<f32>,
    /// Where each observed token is among the rows, `[t]`.
    pub(super) observed: Vec<usize>,
    /// ln p of each observed token, `[t]`.
    pub(super) log_observed: Vec<f64>,
    /// The mean mass of the tokens that are left out.
    pub(super) rest_mass: f64,
}

impl<'a> Policy<'a> {
    /// Of the positions of a lesson.
    pub(super) fn new(rows: SupportRows<'a>, lesson: &Lesson) -> Tried<Policy<'a>> {
        let scores = rows.scores(&lesson.states)?;
        let n = rows.len().max(1);
        let mut policy = Policy {
            rows,
            p: vec![0.0; scores.len()],
            scores,
            observed: Vec::new(),
            log_observed: Vec::new(),
            rest_mass: 0.0,
        };
        let mut rest = 0.0;
        let rows = policy.scores.chunks(n).zip(policy.p.chunks_mut(n)).zip(&lesson.lse);
        for (((z, p), lse), token) in rows.zip(&lesson.tokens) {
            let row = match &policy.rows {
                SupportRows::Gathered { .. } => kept(z, *lse, p)?,
                SupportRows::Whole(_) => whole(z, *lse, p)?,
            };
            let at = policy.rows.place(*token).ok_or(SkipReason::TraceMismatch)?;
            let score = z.get(at).copied().map_or(f64::NEG_INFINITY, f64::from);
            policy.observed.push(at);
            policy.log_observed.push(score - row.lse);
            rest += row.rest;
        }
        policy.rest_mass = rest / lesson.tokens.len().max(1) as f64;
        Ok(policy)
    }

    /// Tokens, the pseudo-token counted.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The positions whose observed token the policy can have chosen. Sampled tokens must all be such.
    pub(super) fn possible(&self, origin: TokenOrigin) -> Tried<Vec<usize>> {
        let possible = |log_p: &f64| log_p.exp() >= LEAST_PROBABILITY;
        let places = self.log_observed.iter().enumerate();
        let kept: Vec<usize> = places.filter(|(_, p)| possible(p)).map(|(at, _)| at).collect();
        match origin {
            TokenOrigin::Sampled if kept.len() < self.observed.len() => {
                Err(SkipReason::TraceMismatch.into())
            }
            TokenOrigin::Sampled | TokenOrigin::Written => Ok(kept),
        }
    }
}

/// What one row came to.
struct Row {
    /// The partition that its probabilities are of.
    lse: f64,
    rest: f64,
}

/// Probabilities by the partition of the trace; the last is what they leave.
// z [n] -> p [n]
fn kept(z: &[f32], lse: f64, p: &mut [f32]) -> Tried<Row> {
    let Some((last, p)) = p.split_last_mut() else {
        return Err(SkipReason::NoCredit.into());
    };
    let mut sum = 0f64;
    for (p, z) in p.iter_mut().zip(z) {
        let probability = (f64::from(*z) - lse).exp();
        sum += probability;
        *p = probability as f32;
    }
    if !sum.is_finite() {
        return Err(SkipReason::Breakdown.into());
    }
    if sum.ln() > LSE_TOLERANCE {
        return Err(SkipReason::TraceMismatch.into());
    }
    if sum > 1.0 {
        // The trace's partition is rounded: what is kept has all the mass.
        p.iter_mut().for_each(|p| *p = (f64::from(*p) / sum) as f32);
        *last = 0.0;
        return Ok(Row { lse: lse + sum.ln(), rest: 0.0 });
    }
    *last = (1.0 - sum) as f32;
    Ok(Row { lse, rest: 1.0 - sum })
}

/// Probabilities by a partition of their own, which must be the trace's.
// z [n] -> p [n]
fn whole(z: &[f32], lse: f64, p: &mut [f32]) -> Tried<Row> {
    let again = logits::facts(z).lse;
    same_partition(lse, again)?;
    let each = p.iter_mut().zip(z);
    each.for_each(|(p, z)| *p = (f64::from(*z) - again).exp() as f32);
    Ok(Row { lse: again, rest: 0.0 })
}
