//! The linear system of a step: the Fisher operator, its mean diagonal, and the gradient.
//!
//! `F·v = Σ_t w_t J_tᵀ(p_t ⊙ u_t − p_t·(p_t·u_t)) + λ·v` with `u_t = J_t·v`: at the old parameters it is the Hessian of the
//! objective `Σ_t w_t KL(π*_t‖π_t) + λ/2·‖φ − φ_old‖²` (Fisher scoring). One equation per token: one scalar for the whole answer
//! would leave a system of rank one.

use super::head::HeadFacts;
use super::policy::Policy;
use super::product;
use super::reach::Reach;
use crate::error::Result;
use trimtab_runtime::sample::{Draw, Purpose};

/// The system at the old policy.
pub(super) struct Fisher<'a> {
    pub(super) policy: &'a Policy<'a>,
    pub(super) reach: &'a Reach<'a>,
    /// `w`, `[t]`
    pub(super) credit: &'a [f64],
    pub(super) lambda: f64,
}

impl Fisher<'_> {
    /// Probabilities with their positions and credit, of positions that have any.
    fn rows(&self) -> impl Iterator<Item = (usize, f64, &[f32])> {
        let n = self.policy.len().max(1);
        let rows = self.policy.p.chunks(n).zip(self.credit).enumerate();
        rows.map(|(at, (p, w))| (at, *w, p)).filter(|(_, w, _)| *w > 0.0)
    }

    /// `F·v`, the ridge included.
    // v [values] -> [values]
    pub(super) fn apply(&self, v: &[f64]) -> Result<Vec<f64>> {
        let mut image = self.curve(v)?;
        image.iter_mut().zip(v).for_each(|(x, v)| *x += self.lambda * v);
        Ok(image)
    }

    /// `(F − λI)·v`: the operator without its ridge.
    // v [values] -> [values]
    pub(super) fn curve(&self, v: &[f64]) -> Result<Vec<f64>> {
        let shift = self.reach.tangent(v)?;
        let mut pull = self.reach.pull();
        let mut u = vec![0f64; self.policy.len()];
        for (at, w, p) in self.rows() {
            shift.row(at, self.reach.scores(at), &mut u);
            let mean = product::dot(p, &u);
            u.iter_mut().zip(p).for_each(|(u, p)| *u = w * f64::from(*p) * (*u - mean));
            self.reach.pull_row(&mut pull, at, &u);
        }
        self.reach.pulled(&pull)
    }

    /// `g = Σ_t w_t·c_t·J_tᵀ(e_y − p_t)`, minus the slope of the objective at the old parameters.
    // pulls [t] -> [values]
    pub(super) fn gradient(&self, pulls: &[f64]) -> Result<Vec<f64>> {
        let mut pull = self.reach.pull();
        let mut s = vec![0f64; self.policy.len()];
        let rows = self.rows().filter_map(|(at, w, p)| {
            Some((at, w * pulls.get(at)?, p, *self.policy.observed.get(at)?))
        });
        for (at, weight, p, observed) in rows {
            s.iter_mut().zip(p).for_each(|(s, p)| *s = -weight * f64::from(*p));
            s.iter_mut().skip(observed).take(1).for_each(|s| *s += weight);
            self.reach.pull_row(&mut pull, at, &s);
        }
        self.reach.pulled(&pull)
    }

    /// The exact mean diagonal of `F − λI` for an offset:
    /// `Σ_t w_t(Σ_v p_t(v)‖w_v‖² − ‖Σ_v p_t(v)·w_v‖²)/d`.
    // -> []
    pub(super) fn mean_diagonal(&self, facts: &HeadFacts) -> Result<f64> {
        let norms = self.policy.rows.squared_norms(facts);
        let norms: Vec<f64> = norms.iter().map(|x| f64::from(*x)).collect();
        let means = self.policy.rows.means(&self.policy.p)?;
        let width = facts.mean_row.len().max(1);
        let each = self.rows().map(|(at, w, p)| {
            let mean = means.get(at * width..(at + 1) * width).unwrap_or_default();
            w * (product::dot(p, &norms) - product::squared(mean))
        });
        Ok(each.sum::<f64>().max(0.0) / width as f64)
    }

    /// The mean diagonal of `F − λI` by Hutchinson's estimate: the mean of `zᵀFz/‖z‖²` over vectors of random signs, keyed by
    /// the seed.
    // -> []
    pub(super) fn probed_diagonal(&self, values: usize, seed: u64) -> Result<f64> {
        let mut sum = 0f64;
        for probe in 0..PROBES {
            let z = signs(seed, probe, values);
            sum += product::dot64(&z, &self.curve(&z)?);
        }
        Ok(sum.max(0.0) / (values.max(1) * PROBES as usize) as f64)
    }
}

/// Vectors of random signs behind one estimate.
const PROBES: u32 = 4;

// -> [n]
fn signs(seed: u64, probe: u32, n: usize) -> Vec<f64> {
    let purpose = Purpose::Named("rosa.probe");
    let uniform = |position| Draw { seed, choice: probe, purpose, attempt: 0, position }.uniform();
    (0..n).map(|position| if uniform(position) < 0.5 { -1.0 } else { 1.0 }).collect()
}
