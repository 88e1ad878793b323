//! The incremental form of the controller, and its gradient.

use super::input::Rung;
use super::{Controller, Unit};
use crate::error::{TrainerError, width};

/// Sums that run side by side in a product; their number is fixed, so that the bits are.
const LANES: usize = 8;

/// The product of f32 weights with f64 values.
// [d], [d] -> []
fn dot(weights: &[f32], values: &[f64]) -> f64 {
    let mut sums = [0f64; LANES];
    let (weight_lines, value_lines) = (weights.chunks_exact(LANES), values.chunks_exact(LANES));
    let rest = weight_lines.remainder().iter().zip(value_lines.remainder());
    let rest: f64 = rest.map(|(w, u)| f64::from(*w) * u).sum();
    for (weights, values) in weight_lines.zip(value_lines) {
        for ((sum, w), u) in sums.iter_mut().zip(weights).zip(values) {
            *sum += f64::from(*w) * u;
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// A controller with what does not depend on the state.
#[derive(Debug, Clone, PartialEq)]
pub struct PreparedController {
    controller: Controller,
    /// `[d]`, ĥ/σ
    direction: Vec<f64>,
    /// `[m]`, a: what a strength of 1 adds before the tanh
    push: Vec<f64>,
}

/// One state's logits with what the gradient needs.
#[derive(Debug, Clone, PartialEq)]
pub struct ControllerPass {
    /// `[d]`, u_0 without k/K
    input: Vec<f64>,
    /// `[m, K]`, the outputs of the tanh
    activations: Vec<f64>,
    /// `[K]`
    logits: Vec<f64>,
}

impl ControllerPass {
    /// ℓ_k for k = 0 … K − 1, `[K]`.
    pub fn logits(&self) -> &[f64] {
        &self.logits
    }
}

impl PreparedController {
    pub(super) fn new(controller: Controller) -> PreparedController {
        let direction = controller.input.scaled_direction();
        let push = controller.units().map(|unit| dot(unit.state, &direction)).collect();
        PreparedController { controller, direction, push }
    }

    /// The controller without what was computed.
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    /// Logits one after the other: the first costs a product with W₁, each further one O(m).
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] for a state of another width, [`TrainerError::NotFinite`] if it is not finite.
    // z_0 [d] -> [K]
    pub fn start(&self, state: &[f32]) -> Result<LogitSteps<'_>, TrainerError> {
        self.controller.input.check(state)?;
        let input = self.controller.input.moved(state, 0.0);
        let rungs: Vec<Rung> = self.controller.input.rungs().collect();
        Ok(LogitSteps { prepared: self, base: self.base(&input), rungs: rungs.into_iter() })
    }

    /// What the hidden units get before any step: `W₁u_0 + b₁`.
    // u_0 [d] -> [m]
    fn base(&self, input: &[f64]) -> Vec<f64> {
        self.controller.units().map(|unit| dot(unit.state, input) + unit.bias).collect()
    }

    /// All logits, with what [`PreparedController::add_gradient`] needs.
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] for a state of another width, [`TrainerError::NotFinite`] if it or a logit is not finite.
    // z_0 [d] -> [K]
    pub fn pass(&self, state: &[f32]) -> Result<ControllerPass, TrainerError> {
        self.controller.input.check(state)?;
        let input = self.controller.input.moved(state, 0.0);
        let base = self.base(&input);
        let rungs: Vec<Rung> = self.controller.input.rungs().collect();
        let mut logits = vec![self.controller.out_bias(); rungs.len()];
        let mut activations = Vec::with_capacity(base.len() * rungs.len());
        for ((unit, base), push) in self.controller.units().zip(&base).zip(&self.push) {
            for (logit, rung) in logits.iter_mut().zip(&rungs) {
                let active = activation(unit, *base, *push, *rung);
                *logit += unit.out * active;
                activations.push(active);
            }
        }
        if logits.iter().all(|logit| logit.is_finite()) {
            return Ok(ControllerPass { input, activations, logits });
        }
        Err(TrainerError::NotFinite { what: "controller logit" })
    }

    /// Adds a loss's gradient with respect to the weights, given that with respect to the logits of a pass. The gradient is
    /// ordered as [`Controller::weights`].
    ///
    /// # Errors
    ///
    /// [`TrainerError::Width`] for another number of slopes or weights, or for a pass of another controller's shape.
    // slopes [K], gradient [m · (d + 3) + 1]
    pub fn add_gradient(
        &self,
        pass: &ControllerPass,
        slopes: &[f64],
        gradient: &mut [f64],
    ) -> Result<(), TrainerError> {
        let (steps, hidden) = (self.controller.steps(), self.controller.hidden);
        width("slopes of the logits", slopes.len(), steps)?;
        width("gradient", gradient.len(), self.controller.weights.len())?;
        width("activations", pass.activations.len(), steps * hidden)?;
        width("controller input", pass.input.len(), self.direction.len())?;
        let rungs: Vec<Rung> = self.controller.input.rungs().collect();
        let rows = gradient.chunks_exact_mut(self.direction.len() + 3);
        let active = pass.activations.chunks(steps.max(1));
        for ((unit, row), active) in self.controller.units().zip(rows).zip(active) {
            let mut sums = UnitSlopes::default();
            for ((rung, active), slope) in rungs.iter().zip(active).zip(slopes) {
                sums.add(unit.out, *rung, *active, *slope);
            }
            sums.write(row, &pass.input, &self.direction);
        }
        if let Some(out_bias) = gradient.last_mut() {
            *out_bias += slopes.iter().sum::<f64>();
        }
        Ok(())
    }
}

fn activation(unit: Unit<'_>, base: f64, push: f64, rung: Rung) -> f64 {
    (base + rung.strength * push + rung.part * unit.step).tanh()
}

/// A hidden unit's slopes, summed over the steps. As `u_k = u_0 + s_k ĥ/σ`, two sums give those of its row of W₁.
#[derive(Debug, Clone, Copy, Default)]
struct UnitSlopes {
    bias: f64,
    strength: f64,
    part: f64,
    out: f64,
}

impl UnitSlopes {
    fn add(&mut self, out: f64, rung: Rung, active: f64, slope: f64) {
        let inner = slope * out * (1.0 - active * active);
        self.bias += inner;
        self.strength += inner * rung.strength;
        self.part += inner * rung.part;
        self.out += slope * active;
    }

    // row [d + 3], input [d], direction [d]
    fn write(&self, row: &mut [f64], input: &[f64], direction: &[f64]) {
        let [state @ .., step, bias, out] = row else { return };
        for ((slope, u), h) in state.iter_mut().zip(input).zip(direction) {
            *slope += self.bias * u + self.strength * h;
        }
        *step += self.part;
        *bias += self.bias;
        *out += self.out;
    }
}

/// The logits of one state, each computed when it is asked for.
#[derive(Debug, Clone)]
pub struct LogitSteps<'a> {
    prepared: &'a PreparedController,
    /// `[m]`
    base: Vec<f64>,
    rungs: std::vec::IntoIter<Rung>,
}

impl Iterator for LogitSteps<'_> {
    type Item = f64;

    // [m] -> []
    fn next(&mut self) -> Option<f64> {
        let rung = self.rungs.next()?;
        let controller = &self.prepared.controller;
        let mut logit = controller.out_bias();
        for ((unit, base), push) in controller.units().zip(&self.base).zip(&self.prepared.push) {
            logit += unit.out * activation(unit, *base, *push, rung);
        }
        Some(logit)
    }
}
