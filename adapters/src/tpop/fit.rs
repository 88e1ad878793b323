//! From the pairs to a head, κ, a posterior and V: a pure function, so that a state can be made again and compared.

use super::confidence::Confidence;
use super::error::TpopError;
use super::example::{Example, examples, teaching};
use super::head::RewardHead;
use super::linear::Logistic;
use super::matrix::{add_outer, cholesky, forward, minus, sigmoid};
use super::pair::Recorded;
use super::params::{ConfidenceKind, HeadKind, NoiseRule, TpopParams};
use super::reliability::{can_judge, labels};
use super::tanh::TanhHead;
use ndarray::{Array2, ArrayView1};
use std::sync::Arc;

/// `N(θ, H⁻¹)` over the weights that V is about, by a factor of H.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Posterior {
    /// L of H = LLᵀ, κ last where it is part of H.
    Full(Array2<f64>),
    /// The diagonal of H.
    Diag(Vec<f64>),
}

impl Posterior {
    /// `L⁻¹g`: a reward's deviation under drawn weights is its product with normal numbers.
    // [gradient width] -> [width of H]
    pub(super) fn whiten(&self, gradient: &[f64]) -> Vec<f64> {
        match self {
            Posterior::Full(lower) => forward(lower, gradient),
            Posterior::Diag(values) => {
                values.iter().zip(gradient).map(|(h, g)| g / h.sqrt()).collect()
            }
        }
    }
}

/// A head that was fitted, without V.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FittedHead {
    pub(super) head: RewardHead,
    pub(super) kappa: f64,
    pub(super) posterior: Posterior,
    /// N: how many pairs taught it.
    pub(super) pairs: usize,
}

/// What was learnt of pairs. It never changes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fitted {
    pub(super) taught: FittedHead,
    pub(super) confidence: Confidence,
}

impl FittedHead {
    /// The difference g = ∂r(a) − ∂r(b) that V is about.
    // [width], [width] -> [gradient width]
    pub(super) fn contrast(&self, params: &TpopParams, a: &[f32], b: &[f32]) -> Vec<f64> {
        contrast(&self.head, params, a, b)
    }
}

// [width], [width] -> [gradient width]
fn contrast(head: &RewardHead, params: &TpopParams, a: &[f32], b: &[f32]) -> Vec<f64> {
    let gradient = |features| head.gradient(features, params.confidence);
    minus(&gradient(a), &gradient(b))
}

/// Learns all of it from the pairs, oldest first.
///
/// # Errors
///
/// A fit that does not converge, or a matrix that is not positive definite.
// pairs of [width] -> head, V
pub(super) fn fit(
    params: &TpopParams,
    width: usize,
    pairs: &[Arc<Recorded>],
) -> Result<Fitted, TpopError> {
    let taught = fit_head(params, width, pairs)?;
    let gradient_width = taught.head.gradient_width(params.confidence);
    let mut confidence = Confidence::new(params.confidence, gradient_width, params.lambda);
    for example in examples(&teaching(pairs, params), params) {
        if example.is_whole {
            let g = taught.contrast(params, example.a, example.b);
            confidence.observe(&g, example.weight)?;
        }
    }
    Ok(Fitted { taught, confidence })
}

/// Learns the head, the position term and the posterior, and leaves V alone.
// pairs of [width] -> head
pub(super) fn fit_head(
    params: &TpopParams,
    width: usize,
    pairs: &[Arc<Recorded>],
) -> Result<FittedHead, TpopError> {
    let teaching = teaching(pairs, params);
    let mut examples = examples(&teaching, params);
    // Of too few pairs the reliability of single labels cannot be told, and they are softened alike.
    if params.noise == NoiseRule::Repo && can_judge(&teaching) {
        let labels = labels(&teaching, &examples, width, params)?;
        for example in &mut examples {
            example.label = labels.get(example.pair).copied().unwrap_or(example.label);
        }
    }
    let (head, kappa, posterior) = match params.head {
        HeadKind::Linear => {
            let fit = Logistic::of(&examples, width, params.lambda)?.fit()?;
            (RewardHead::Linear(fit.theta), fit.kappa, Posterior::Full(fit.lower))
        }
        HeadKind::Mlp => {
            let (net, kappa) = TanhHead::train(&examples, width, params.lambda, teaching.len())?;
            let head = RewardHead::Tanh(net);
            let posterior = flat(params, (&head, kappa), &examples)?;
            (head, kappa, posterior)
        }
    };
    Ok(FittedHead { head, kappa, posterior, pairs: teaching.len() })
}

/// The Hessian of a net's loss over what V is about, with the rest of the net held fixed:
/// `λI + Σ ω σ(h)(1 − σ(h)) ggᵀ`, or its diagonal.
// examples of [width] -> [gradient width, gradient width]
fn flat(
    params: &TpopParams,
    (head, kappa): (&RewardHead, f64),
    examples: &[Example<'_>],
) -> Result<Posterior, TpopError> {
    let width = head.gradient_width(params.confidence);
    let curve = |example: &Example<'_>| {
        let g = contrast(head, params, example.a, example.b);
        let h = head.reward(example.a) - head.reward(example.b) + kappa * example.side;
        let p = sigmoid(h);
        (g, example.weight * p * (1.0 - p))
    };
    match params.confidence {
        ConfidenceKind::Diag => {
            let mut values = vec![params.lambda; width];
            for (g, weight) in examples.iter().map(curve) {
                values.iter_mut().zip(&g).for_each(|(value, g)| *value += weight * g * g);
            }
            Ok(Posterior::Diag(values))
        }
        ConfidenceKind::Exact => {
            let mut matrix = Array2::eye(width) * params.lambda;
            for (g, weight) in examples.iter().map(curve) {
                add_outer(&mut matrix, &ArrayView1::from(&g), weight);
            }
            Ok(Posterior::Full(cholesky(&matrix, "Hessian of the last layer")?))
        }
    }
}
