//! How far a step goes: as far as the old policy and the new may differ, and only if the objective falls.

use super::policy::Policy;
use super::product;
use super::reach::{Reach, Shift};
use super::refusal::{SkipReason, Tried};
use super::tilt::Tilt;
use crate::error::Result;

/// By what a step is shortened while it diverges too far, and how often.
const SHORTER: (f64, usize) = (0.7, 8);
/// The same while the objective has not fallen.
const HALF: (f64, usize) = (0.5, 3);

/// The policy of an answer, where it is pulled, and how much each position counts.
pub(super) struct Aim<'a> {
    pub(super) policy: &'a Policy<'a>,
    pub(super) reach: &'a Reach<'a>,
    /// `[t]`
    pub(super) tilts: &'a [Tilt],
    /// `[t]`
    pub(super) credit: &'a [f64],
    pub(super) lambda: f64,
}

/// What a changed policy comes to, on the kept tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Measured {
    /// Mean KL(p_old‖p_new) by credit.
    pub(super) credited: f64,
    /// Mean KL(p_old‖p_new) over the positions.
    pub(super) even: f64,
    /// Σ w KL(π*‖π_new): how far from the better policy.
    pub(super) distance: f64,
    /// Mean change of ln p(y) by credit.
    pub(super) rise: f64,
}

impl Measured {
    /// The larger mean, which is what the limit holds.
    pub(super) fn divergence(&self) -> f64 {
        self.credited.max(self.even)
    }
}

impl Aim<'_> {
    /// Of a change of all scores: with `A = ln Σ p·exp(u)`, KL(p_old‖p_new) is `A − p·u`, and KL(π*‖π_new) is
    /// KL(π*‖p_old) + A − (1 − c)·(p·u) − c·u_y.
    pub(super) fn measure(&self, shift: &Shift) -> Measured {
        let n = self.policy.len();
        let (mut sum, mut u) = (Measured::default(), vec![0f64; n]);
        let rows = self.policy.p.chunks(n.max(1)).zip(self.tilts).zip(self.credit);
        let rows = rows.zip(&self.policy.observed).enumerate();
        for (at, (((p, tilt), w), observed)) in rows {
            shift.row(at, self.reach.scores(at), &mut u);
            let (mean, partition) = (product::dot(p, &u), log_mean_exp(p, &u));
            let chosen = u.get(*observed).copied().unwrap_or(f64::NAN);
            // Rounding of probabilities that sum to 1 can leave it just below 0.
            let divergence = (partition - mean).max(0.0);
            let along = (1.0 - tilt.pull) * mean + tilt.pull * chosen;
            sum.credited += w * divergence;
            sum.even += divergence;
            sum.distance += w * (tilt.divergence + partition - along);
            sum.rise += w * (chosen - partition);
        }
        sum.even /= self.tilts.len().max(1) as f64;
        sum
    }

    /// The mean change of ln p(y) by credit, to first order.
    // step [values] -> []
    pub(super) fn predicted_rise(&self, step: &[f64]) -> Result<f64> {
        let shift = self.reach.tangent(step)?;
        let n = self.policy.len();
        let mut u = vec![0f64; n];
        let rows = self.policy.p.chunks(n.max(1)).zip(self.credit).zip(&self.policy.observed);
        let each = rows.enumerate().map(|(at, ((p, w), observed))| {
            shift.row(at, self.reach.scores(at), &mut u);
            w * (u.get(*observed).copied().unwrap_or(f64::NAN) - product::dot(p, &u))
        });
        Ok(each.sum())
    }
}

/// `ln Σ p·exp(u)`, by way of the largest `u`.
// p [n], u [n] -> []
fn log_mean_exp(p: &[f32], u: &[f64]) -> f64 {
    let most = u.iter().fold(f64::NEG_INFINITY, |most, u| most.max(*u));
    let each = p.iter().zip(u).filter(|(p, _)| **p > 0.0);
    most + each.map(|(p, u)| f64::from(*p) * (u - most).exp()).sum::<f64>().ln()
}

/// What a step must keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Descent {
    /// The objective must fall.
    Required,
    /// It may rise: the step is a control.
    Free,
}

/// A step that keeps to the limit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trusted {
    pub(super) step: Vec<f64>,
    /// ½·Δᵀ(F − λI)Δ of it.
    pub(super) predicted: f64,
    pub(super) measured: Measured,
    /// The same of no step.
    pub(super) before: Measured,
    pub(super) backtracks: usize,
}

/// A step on its way to be short enough.
struct Search<'a> {
    aim: &'a Aim<'a>,
    step: &'a [f64],
    /// `[rank][n]`, of the step at scale 1.
    columns: Vec<Vec<f64>>,
    before: Measured,
    scale: f64,
    measured: Measured,
    backtracks: usize,
}

impl Search<'_> {
    fn measure(&self, scale: f64) -> Measured {
        self.aim.measure(&self.aim.reach.exact(self.step, &self.columns, scale))
    }

    fn set(&mut self, scale: f64) {
        (self.scale, self.measured) = (scale, self.measure(scale));
    }

    /// Whether the objective is below that of no step, with the ridge and without.
    fn falls(&self) -> bool {
        let ridge =
            self.aim.lambda / 2.0 * self.scale.powi(2) * product::dot64(self.step, self.step);
        self.measured.distance + ridge.max(0.0) < self.before.distance
    }

    /// Shortens while something is wrong, at most so often.
    fn shorten(&mut self, (factor, times): (f64, usize), wrong: impl Fn(&Self) -> bool) {
        for _ in 0..times {
            if !wrong(self) {
                return;
            }
            self.set(self.scale * factor);
            self.backtracks += 1;
        }
    }
}

/// The terms of a step's length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// `Δᵀ(F − λI)Δ` of the whole step.
    pub(super) curvature: f64,
    /// Largest divergence, nats per token.
    pub(super) limit: f64,
    pub(super) descent: Descent,
}

/// Shortens a step to a predicted divergence of at most the limit, then until the measured one is too and the objective
/// has fallen.
// step [values] -> [values]
pub(super) fn confine(aim: &Aim, step: &[f64], terms: Terms) -> Tried<Trusted> {
    let Terms { curvature, limit, descent } = terms;
    let columns = aim.reach.columns(step)?;
    let zero = Measured::default();
    let mut search =
        Search { aim, step, columns, before: zero, scale: 0.0, measured: zero, backtracks: 0 };
    search.before = search.measure(0.0);
    let predicted = curvature.max(0.0) / 2.0;
    search.set(if predicted > limit { (limit / predicted).sqrt() } else { 1.0 });
    let far = |search: &Search| search.measured.divergence() > limit;
    let stays = |search: &Search| descent == Descent::Required && !search.falls();
    search.shorten(SHORTER, far);
    search.shorten(HALF, stays);
    if search.scale * product::norm(step) == 0.0 {
        return Err(SkipReason::NoStep.into());
    }
    if !search.measured.divergence().is_finite() || !search.measured.distance.is_finite() {
        return Err(SkipReason::Breakdown.into());
    }
    if far(&search) || stays(&search) {
        return Err(SkipReason::NoDescent.into());
    }
    let Search { scale, measured, before, backtracks, .. } = search;
    let step = step.iter().map(|x| scale * x).collect();
    Ok(Trusted { step, predicted: predicted * scale * scale, measured, before, backtracks })
}
