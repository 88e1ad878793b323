//! The step of one judgement: gradient, damped system, direction, length.

use super::conjugate::{CgLimits, Solution, solve};
use super::fisher::Fisher;
use super::head::HeadFacts;
use super::journal::StepReport;
use super::lesson::Lesson;
use super::params::{Rosa, StepDirection};
use super::policy::Policy;
use super::product;
use super::reach::Reach;
use super::refusal::{SkipReason, Tried, finite};
use super::state::BlockState;
use super::tilt::Tilt;
use super::trust::{Aim, Descent, Terms, Trusted, confine};
use crate::error::Result;
use trimtab_steering::estimate::gaussian;

/// What a step is computed from.
pub(super) struct Problem<'a> {
    pub(super) rosa: &'a Rosa,
    pub(super) facts: &'a HeadFacts,
    pub(super) policy: &'a Policy<'a>,
    pub(super) reach: &'a Reach<'a>,
    pub(super) lesson: &'a Lesson,
    pub(super) reward: f64,
    pub(super) pause: &'a dyn Fn(),
}

/// A step with what led to it.
pub(super) struct Solved {
    pub(super) step: Vec<f64>,
    pub(super) report: StepReport,
}

impl Problem<'_> {
    /// The step under the configuration's direction, confined to the trust region.
    pub(super) fn solve(&self, block: &BlockState) -> Tried<Solved> {
        let tilts = self.tilts();
        let fisher = self.fisher(block)?;
        let pulls: Vec<f64> = tilts.iter().map(|tilt| tilt.pull).collect();
        let gradient = finite(fisher.gradient(&pulls)?)?;
        let apply = |v: &[f64]| {
            (self.pause)();
            fisher.apply(v)
        };
        let solution = solve(apply, &gradient, self.limits())?;
        (self.pause)();
        let aim = self.aim(&tilts, fisher.lambda);
        let trusted = self.confined(&aim, &fisher, &solution.step, Descent::Required)?;
        let trusted = match self.rosa.direction() {
            StepDirection::Solved => trusted,
            StepDirection::Gradient => self.control(&aim, &fisher, gradient, &trusted)?,
            StepDirection::Random { seed } => {
                self.control(&aim, &fisher, gaussian(seed, gradient.len()), &trusted)?
            }
        };
        let report = self.report(&aim, &trusted, &solution)?;
        Ok(Solved { step: trusted.step, report })
    }

    pub(super) fn tilts(&self) -> Vec<Tilt> {
        let exponent = self.reward / self.rosa.beta(self.reward);
        self.policy.log_observed.iter().map(|log_p| Tilt::new(*log_p, exponent)).collect()
    }

    pub(super) fn aim<'a>(&'a self, tilts: &'a [Tilt], lambda: f64) -> Aim<'a> {
        let Problem { policy, reach, lesson, .. } = self;
        Aim { policy, reach, tilts, credit: &lesson.credit, lambda }
    }

    /// The operator with its ridge.
    pub(super) fn fisher(&self, block: &BlockState) -> Result<Fisher<'_>> {
        let Problem { policy, reach, lesson, .. } = self;
        let fisher = Fisher { policy, reach, credit: &lesson.credit, lambda: 0.0 };
        let diagonal = match block {
            BlockState::FinalOffset(_) => fisher.mean_diagonal(self.facts)?,
            BlockState::LastMlpLora(lora) => {
                fisher.probed_diagonal(block.values().len(), lora.seed())?
            }
        };
        Ok(Fisher { lambda: self.rosa.params().damping * diagonal, ..fisher })
    }

    fn limits(&self) -> CgLimits {
        let params = self.rosa.params();
        CgLimits { iterations: params.cg_iters, residual: params.cg_rtol }
    }

    // step [values] -> [values]
    fn confined(
        &self,
        aim: &Aim,
        fisher: &Fisher,
        step: &[f64],
        descent: Descent,
    ) -> Tried<Trusted> {
        let curvature = product::dot64(step, &fisher.curve(step)?);
        if !curvature.is_finite() {
            return Err(SkipReason::Breakdown.into());
        }
        confine(aim, step, Terms { curvature, limit: self.rosa.eps(self.reward), descent })
    }

    /// Another direction, as long as a step in predicted divergence.
    // direction [values] -> [values]
    fn control(
        &self,
        aim: &Aim,
        fisher: &Fisher,
        mut direction: Vec<f64>,
        like: &Trusted,
    ) -> Tried<Trusted> {
        let curvature = product::dot64(&direction, &fisher.curve(&direction)?);
        if curvature <= 0.0 || !curvature.is_finite() {
            return Err(SkipReason::Breakdown.into());
        }
        let scale = (2.0 * like.predicted / curvature).sqrt();
        direction.iter_mut().for_each(|x| *x *= scale);
        self.confined(aim, fisher, &direction, Descent::Free)
    }

    fn report(&self, aim: &Aim, trusted: &Trusted, solution: &Solution) -> Result<StepReport> {
        let Trusted { step, predicted, measured, before, backtracks } = trusted;
        Ok(StepReport {
            kl_predicted: *predicted,
            kl_measured: measured.divergence(),
            kl_limit: self.rosa.eps(self.reward),
            cg_iterations: solution.iterations,
            residual: solution.residual,
            lambda: aim.lambda,
            backtracks: *backtracks,
            norm: product::norm(step),
            support: self.policy.len(),
            rest_mass: self.policy.rest_mass,
            distance: [before.distance, measured.distance],
            log_p_change: [aim.predicted_rise(step)?, measured.rise],
        })
    }
}
