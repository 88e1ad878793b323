//! The reward of an answer.

use super::matrix::{dot, wide};
use super::params::ConfidenceKind;
use super::tanh::{TANH_UNITS, TanhHead};

/// What gives an answer its reward, in log-odds of being preferred.
#[derive(Debug, Clone, PartialEq)]
pub enum RewardHead {
    /// `r = θᵀφ`; θ is `[width]`.
    Linear(Vec<f64>),
    /// A small net.
    Tanh(TanhHead),
}

impl RewardHead {
    /// The reward of features.
    // [width] -> []
    pub fn reward(&self, features: &[f32]) -> f64 {
        match self {
            RewardHead::Linear(theta) => dot(theta, &wide(features)),
            RewardHead::Tanh(net) => net.reward(&wide(features)),
        }
    }

    /// What V is about: φ of the linear head; of the net its last hidden layer or, for `diag`, the derivative by every
    /// weight.
    // [width] -> [gradient width]
    pub fn gradient(&self, features: &[f32], kind: ConfidenceKind) -> Vec<f64> {
        match self {
            RewardHead::Linear(_) => wide(features),
            RewardHead::Tanh(net) => net.gradient(&wide(features), kind),
        }
    }

    /// Values of a gradient.
    pub(super) fn gradient_width(&self, kind: ConfidenceKind) -> usize {
        match (self, kind) {
            (RewardHead::Linear(theta), _) => theta.len(),
            (RewardHead::Tanh(_), ConfidenceKind::Exact) => TANH_UNITS,
            (RewardHead::Tanh(net), ConfidenceKind::Diag) => net.weights().len(),
        }
    }

    /// All weights: θ, or the net's layers one behind the other.
    pub fn weights(&self) -> &[f64] {
        match self {
            RewardHead::Linear(theta) => theta,
            RewardHead::Tanh(net) => net.weights(),
        }
    }

    /// ‖weights‖₂.
    pub fn norm(&self) -> f64 {
        dot(self.weights(), self.weights()).sqrt()
    }
}
