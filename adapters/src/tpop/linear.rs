//! The linear head: a logistic regression of choices on feature differences, by Newton's method in f64.
//!
//! With `h_s = θᵀ(φ_a − φ_b) + κ·o_s` the loss is
//! `Σ_s ω_s[−l_s ln σ(h_s) − (1 − l_s) ln σ(−h_s)] + (λ/2)‖θ‖² + κ²/2`, the Bradley–Terry–Luce likelihood with a ridge. κ
//! takes in a habit of picking one side; it and the soft labels are ours. The loss is strictly convex, so the optimum is
//! one and does not depend on where the search starts.

use super::error::TpopError;
use super::example::Example;
use super::matrix::{backward, cholesky, forward, sigmoid, softplus};
use ndarray::{Array1, Array2};

const MOST_STEPS: usize = 25;
/// The largest entry of a gradient that is as good as 0.
const GRADIENT: f64 = 1e-8;
/// Halvings of one step before it is taken as it is.
const MOST_HALVINGS: usize = 40;

/// A ridge-regularised logistic regression. The last column is the side, whose weight is κ.
#[derive(Debug, Clone)]
pub(super) struct Logistic {
    /// `[examples, width + 1]`
    rows: Array2<f64>,
    labels: Array1<f64>,
    weights: Array1<f64>,
    /// λ for each feature, 1 for κ: `[width + 1]`.
    ridge: Array1<f64>,
}

/// The optimum and the curvature there.
#[derive(Debug, Clone)]
pub(super) struct LinearFit {
    /// θ, `[width]`
    pub(super) theta: Vec<f64>,
    pub(super) kappa: f64,
    /// L of the Hessian LLᵀ over θ and κ, `[width + 1, width + 1]`.
    pub(super) lower: Array2<f64>,
}

impl Logistic {
    // examples of [width] -> [examples, width + 1]
    pub(super) fn of(
        examples: &[Example<'_>],
        width: usize,
        lambda: f64,
    ) -> Result<Logistic, TpopError> {
        let mut values = Vec::with_capacity(examples.len() * (width + 1));
        for example in examples {
            let both = example.a.iter().zip(example.b);
            values.extend(both.map(|(a, b)| f64::from(*a) - f64::from(*b)));
            values.push(example.side);
        }
        let (what, found, shape) =
            ("feature differences", values.len(), (examples.len(), width + 1));
        let rows = Array2::from_shape_vec(shape, values).map_err(|_| TpopError::Width {
            what,
            found,
            expected: shape.0 * shape.1,
        })?;
        let mut ridge = Array1::from_elem(width + 1, lambda);
        ridge.iter_mut().skip(width).for_each(|ridge| *ridge = 1.0);
        Ok(Logistic {
            rows,
            labels: examples.iter().map(|example| example.label).collect(),
            weights: examples.iter().map(|example| example.weight).collect(),
            ridge,
        })
    }

    /// The same with other labels.
    // [examples] -> [examples]
    pub(super) fn labelled(&mut self, labels: impl Iterator<Item = f64>) {
        self.labels.iter_mut().zip(labels).for_each(|(label, next)| *label = next);
    }

    /// The same with other weights.
    // [examples] -> [examples]
    pub(super) fn weighted(&mut self, weights: impl Iterator<Item = f64>) {
        self.weights.iter_mut().zip(weights).for_each(|(weight, next)| *weight = next);
    }

    /// h of every example.
    // [width + 1] -> [examples]
    pub(super) fn log_odds(&self, x: &Array1<f64>) -> Array1<f64> {
        self.rows.dot(x)
    }

    // [width + 1] -> []
    pub(super) fn loss(&self, x: &Array1<f64>) -> f64 {
        let h = self.log_odds(x);
        let each = h.iter().zip(&self.labels).zip(&self.weights);
        let data: f64 = each.map(|((h, l), w)| w * (softplus(*h) - l * h)).sum();
        let ridge: f64 = x.iter().zip(&self.ridge).map(|(x, r)| r * x * x).sum();
        data + ridge / 2.0
    }

    // [width + 1] -> [width + 1]
    pub(super) fn gradient(&self, x: &Array1<f64>) -> Array1<f64> {
        let mut residual = self.log_odds(x);
        let each = residual.iter_mut().zip(&self.labels).zip(&self.weights);
        each.for_each(|((h, l), w)| *h = w * (sigmoid(*h) - l));
        self.rows.t().dot(&residual) + &self.ridge * x
    }

    // [width + 1] -> [width + 1, width + 1]
    pub(super) fn hessian(&self, x: &Array1<f64>) -> Array2<f64> {
        let mut scaled = self.rows.clone();
        let h = self.log_odds(x);
        for ((mut row, h), w) in scaled.rows_mut().into_iter().zip(&h).zip(&self.weights) {
            let p = sigmoid(*h);
            row *= w * p * (1.0 - p);
        }
        let mut hessian = self.rows.t().dot(&scaled);
        hessian.diag_mut().iter_mut().zip(&self.ridge).for_each(|(x, ridge)| *x += ridge);
        hessian
    }

    /// Newton's method from 0, each step halved until the loss does not rise.
    // [examples, width + 1] -> [width + 1]
    pub(super) fn solve(&self) -> Result<Array1<f64>, TpopError> {
        let mut x = Array1::zeros(self.ridge.len());
        let mut steps = 0;
        loop {
            let gradient = self.gradient(&x);
            if gradient.iter().any(|g| !g.is_finite()) {
                return Err(TpopError::NotFinite { what: "gradient of the fit" });
            }
            let largest = gradient.iter().fold(0.0, |most, g| f64::max(most, g.abs()));
            if largest <= GRADIENT {
                return Ok(x);
            }
            if steps == MOST_STEPS {
                return Err(TpopError::NotConverged { steps, gradient: largest });
            }
            let lower = cholesky(&self.hessian(&x), "Hessian of the fit")?;
            let step = backward(&lower, &forward(&lower, &gradient.to_vec()));
            x = self.along(&x, &Array1::from(step));
            steps += 1;
        }
    }

    /// The point a step away, or a part of the step where the whole of it overshoots.
    // [width + 1], [width + 1] -> [width + 1]
    fn along(&self, x: &Array1<f64>, step: &Array1<f64>) -> Array1<f64> {
        let before = self.loss(x);
        // Near the optimum the loss is flat to the last bits.
        let most = before + 1e-12 * (1.0 + before.abs());
        let mut share = 1.0;
        for _ in 0..MOST_HALVINGS {
            let next = x - &(step * share);
            if self.loss(&next) <= most {
                return next;
            }
            share /= 2.0;
        }
        x - &(step * share)
    }

    // [examples, width + 1] -> θ [width], κ
    pub(super) fn fit(&self) -> Result<LinearFit, TpopError> {
        let x = self.solve()?;
        let lower = cholesky(&self.hessian(&x), "Hessian of the fit")?;
        let mut theta = x.to_vec();
        let kappa = theta.pop().unwrap_or_default();
        Ok(LinearFit { theta, kappa, lower })
    }
}
