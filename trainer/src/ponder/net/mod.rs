//! The controller: one hidden layer that gives the logit to continue at each step.
//!
//! `ℓ_k = w₂·tanh(W₁u_k + b₁) + b₂` with `u_k = [(z_k − c)/σ ; k/K]` and `z_k = z_0 + s_k ĥ`. Weights are f32; products are
//! summed in f64, in a fixed order. As z_k is linear in s_k, `W₁u_k = W₁u_0 + s_k a + (k/K) e` with `a = W₁[ĥ/σ; 0]` and e the
//! last column of W₁: after one product each further step costs O(m), and the gradient of a row of W₁ is a combination of u_0
//! and ĥ/σ. A small network that stops or continues is published (arXiv 2509.24238); its form is ours.

mod input;
mod step;

pub use input::{ControllerInput, Standard};
pub use step::{ControllerPass, LogitSteps, PreparedController};

use crate::draw::Draws;
use crate::error::{TrainerError, width, within};
use crate::ponder::policy::{GreedySteps, greedy, sigmoid};
use crate::ponder::strength::{Ponder, WEIGHT_LIMIT, controller_weights};

/// One hidden unit's weights: a row of W₁, its entry of b₁ and its entry of w₂.
#[derive(Debug, Clone, Copy)]
struct Unit<'a> {
    /// `[d]`, the columns of W₁ for the state
    state: &'a [f32],
    /// The column of W₁ for k/K.
    step: f64,
    bias: f64,
    out: f64,
}

impl<'a> Unit<'a> {
    /// The unit in `[W₁ row (d), e, b₁, w₂]`; none if the slice is shorter than three.
    // [d + 3] -> [d], [], [], []
    fn of(weights: &'a [f32]) -> Option<Unit<'a>> {
        let [state @ .., step, bias, out] = weights else { return None };
        let [step, bias, out] = [*step, *bias, *out].map(f64::from);
        Some(Unit { state, step, bias, out })
    }
}

/// Weights that choose a strength from a state, with what they read it through.
#[derive(Debug, Clone, PartialEq)]
pub struct Controller {
    input: ControllerInput,
    hidden: usize,
    /// `[m · (d + 3) + 1]`: for each hidden unit its row of W₁ (d for the state, then the one for k/K), its b₁ and its w₂; b₂
    /// at the end
    weights: Vec<f32>,
}

impl Controller {
    /// An untrained controller: rows of W₁ are normal with variance `1/(d + 1)`, all else is 0, so that every `q_k` is ½.
    /// `uniform` gives numbers in [0, 1); `m(d + 1)` are taken, one more if that is odd.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] if `input` has another width or K than `ponder`, and [`TrainerError::NotUniform`].
    pub fn fresh(
        ponder: &Ponder,
        input: ControllerInput,
        uniform: &mut dyn FnMut() -> f64,
    ) -> Result<Controller, TrainerError> {
        width("controller input", input.width(), ponder.backbone().width)?;
        width("ladder", input.ladder().steps(), ponder.params().steps)?;
        let (hidden, columns) = (ponder.params().hidden, input.width() + 1);
        let normals = Draws::of(uniform).normals(hidden * columns)?;
        let scale = 1.0 / (columns as f64).sqrt();
        let mut weights = Vec::with_capacity(controller_weights(input.width(), hidden));
        for row in normals.chunks(columns) {
            weights.extend(row.iter().map(|normal| (normal * scale) as f32));
            weights.extend([0.0, 0.0]);
        }
        weights.push(0.0);
        Controller::from_weights(input, hidden, weights)
    }

    /// A controller of `hidden` units with weights as [`Controller::weights`] gives them.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Range`] for a number of units outside 8–1024, [`TrainerError::TooLarge`] for too many weights,
    /// [`TrainerError::Width`] for a number of weights that is not `m(d + 3) + 1`, [`TrainerError::NotFinite`] if one is not finite.
    // weights [m · (d + 3) + 1]
    pub fn from_weights(
        input: ControllerInput,
        hidden: usize,
        weights: Vec<f32>,
    ) -> Result<Controller, TrainerError> {
        within("ponder.hidden", hidden as f64, [8.0, 1024.0])?;
        let expected = controller_weights(input.width(), hidden);
        if expected >= WEIGHT_LIMIT {
            return Err(TrainerError::TooLarge { found: expected, limit: WEIGHT_LIMIT });
        }
        width("controller weights", weights.len(), expected)?;
        if !weights.iter().all(|weight| weight.is_finite()) {
            return Err(TrainerError::NotFinite { what: "controller weight" });
        }
        Ok(Controller { input, hidden, weights })
    }

    /// What the state is read through.
    pub fn input(&self) -> &ControllerInput {
        &self.input
    }

    /// K, the most steps.
    pub fn steps(&self) -> usize {
        self.input.ladder().steps()
    }

    /// m, the hidden units.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// `[m · (d + 3) + 1]`: for each hidden unit its row of W₁ (d for the state, then the one for k/K), its b₁ and its w₂; then
    /// b₂.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// The same controller with other weights, ordered as [`Controller::weights`] gives them.
    ///
    /// # Errors
    ///
    /// Those of [`Controller::from_weights`].
    pub fn with_weights(&self, weights: Vec<f32>) -> Result<Controller, TrainerError> {
        Controller::from_weights(self.input.clone(), self.hidden, weights)
    }

    fn units(&self) -> impl Iterator<Item = Unit<'_>> {
        self.weights.chunks_exact(self.input.width() + 3).filter_map(Unit::of)
    }

    /// b₂, the last weight.
    fn out_bias(&self) -> f64 {
        self.weights.last().copied().map_or(0.0, f64::from)
    }

    /// All logits by the definition: each z_k is built and multiplied. It costs K products and is the oracle of
    /// [`PreparedController`].
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] for a state of another width, [`TrainerError::NotFinite`] if it or a logit is not finite.
    // z_0 [d] -> [K]
    pub fn logits(&self, state: &[f32]) -> Result<Vec<f64>, TrainerError> {
        self.input.check(state)?;
        let logits: Vec<f64> = self.input.rungs().map(|rung| self.logit(state, rung)).collect();
        if logits.iter().all(|logit| logit.is_finite()) {
            return Ok(logits);
        }
        Err(TrainerError::NotFinite { what: "controller logit" })
    }

    // z_0 [d] -> []
    fn logit(&self, state: &[f32], rung: input::Rung) -> f64 {
        let moved = self.input.moved(state, rung.strength);
        let unit = |unit: Unit| {
            let sum: f64 = unit.state.iter().zip(&moved).map(|(w, u)| f64::from(*w) * u).sum();
            unit.out * (sum + rung.part * unit.step + unit.bias).tanh()
        };
        self.units().map(unit).sum::<f64>() + self.out_bias()
    }

    /// The controller with `a = W₁[ĥ/σ; 0]` computed once.
    pub fn prepare(&self) -> PreparedController {
        PreparedController::new(self.clone())
    }
}

impl PreparedController {
    /// The number of steps to serve at a state, with the margin: logits are computed until it stops.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] for a state of another width, [`TrainerError::NotFinite`] if it is not finite,
    /// [`TrainerError::Range`] for a τ outside 0–1 or a logit that is NaN.
    // z_0 [d] -> []
    pub fn decide(&self, state: &[f32], tau: f64) -> Result<GreedySteps, TrainerError> {
        greedy(self.start(state)?.map(sigmoid), tau)
    }
}

#[cfg(test)]
mod tests;
