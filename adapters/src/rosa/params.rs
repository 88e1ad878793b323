//! What an update may do: the keys of its configuration, each with its range.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The parameters that are moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// `δ` of `[d_model]`, added at `final`.
    #[default]
    FinalOffset,
    /// `B` of `[d_model, rank]`, added at `mlp_out` of the last block as `B·A·n(resid_mid)`.
    LastMlpLora,
}

/// Which judgements teach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signs {
    /// Only rewards below 0.
    #[default]
    Negative,
    /// Only rewards above 0.
    Positive,
    /// All of them.
    Both,
}

impl Signs {
    pub(super) fn allow(self, reward: f64) -> bool {
        match self {
            Signs::Negative => reward < 0.0,
            Signs::Positive => reward > 0.0,
            Signs::Both => true,
        }
    }
}

/// How the credit for a judgement is shared out among the tokens of the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CreditMask {
    /// Evenly over the tokens that the judgement names; without them as [`Entropy`](Self::Entropy).
    AnswerSpan,
    /// By the entropy of each position, capped; a span that the judgement names goes before it.
    #[default]
    Entropy,
    /// Evenly over all tokens, for comparison.
    Uniform,
}

/// The configuration as it is written, with the defaults of [`Default`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RosaParams {
    /// The parameters that are moved.
    pub block: BlockKind,
    /// Which judgements teach.
    pub signs: Signs,
    /// Temperature of the better policy for a reward below 0, 0.25 to 4; larger means a weaker push.
    pub beta_neg: f64,
    /// The same above 0.
    pub beta_pos: f64,
    /// Largest divergence of one update for a reward below 0, nats per token, 0 to 0.2.
    pub eps_neg: f64,
    /// The same above 0.
    pub eps_pos: f64,
    /// How credit is shared out.
    pub mask: CreditMask,
    /// Ridge of the linear system as a multiple of the mean diagonal, 0.1 to 10.
    pub damping: f64,
    /// Most iterations of conjugate gradients, 1 to 50.
    pub cg_iters: usize,
    /// Relative residual at which they stop, 1e-6 to 0.1.
    pub cg_rtol: f64,
    /// Likeliest tokens of each position that are kept, 8 to 1024.
    pub top_k: usize,
    /// Most tokens that are kept in all, from 256; more than the vocabulary means the vocabulary.
    pub support: usize,
    /// Rank of `last_mlp_lora`, 1 to 16.
    pub rank: usize,
    /// What is kept of the old parameters before a step is added, 0.5 to 1.
    pub decay: f64,
    /// Largest mean divergence of one update on the canary positions, nats, above 0.
    pub canary_step: f64,
    /// Largest mean divergence from the untaught model on the canary positions, nats, above 0.
    pub canary_mean: f64,
    /// Largest divergence from the untaught model on one canary position, nats, above 0.
    pub canary_max: f64,
    /// Least confidence of a judgement that teaches, 0 to 1.
    pub confidence: f64,
    /// Most updates of one conversation, up to 1000.
    pub max_updates: u32,
    /// How long the next turn may wait for an update, as a share of the last turn's generation time, 0 to 1.
    pub wait: f64,
}

impl Default for RosaParams {
    fn default() -> Self {
        RosaParams {
            block: BlockKind::FinalOffset,
            signs: Signs::Negative,
            beta_neg: 1.0,
            beta_pos: 1.0,
            eps_neg: 0.02,
            eps_pos: 0.02,
            mask: CreditMask::Entropy,
            damping: 1.0,
            cg_iters: 10,
            cg_rtol: 1e-3,
            top_k: 64,
            support: 2048,
            rank: 4,
            decay: 1.0,
            canary_step: 0.02,
            canary_mean: 0.1,
            canary_max: 0.5,
            confidence: 0.7,
            max_updates: 32,
            wait: 0.1,
        }
    }
}

fn within(field: &'static str, value: f64, low: f64, high: f64) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(field, format!("is {value}, not between {low} and {high}")))
}

fn count(field: &'static str, value: usize, low: usize, high: usize) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(field, format!("is {value}, not between {low} and {high}")))
}

fn positive(field: &'static str, value: f64) -> Result<()> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(Error::invalid(field, format!("is {value}, not above 0")))
}

impl RosaParams {
    /// The checked form.
    ///
    /// # Errors
    ///
    /// The first key that is out of its range, by its full name.
    pub fn check(self) -> Result<Rosa> {
        within("rosa.beta_neg", self.beta_neg, 0.25, 4.0)?;
        within("rosa.beta_pos", self.beta_pos, 0.25, 4.0)?;
        within("rosa.eps_neg", self.eps_neg, 0.0, 0.2)?;
        within("rosa.eps_pos", self.eps_pos, 0.0, 0.2)?;
        within("rosa.damping", self.damping, 0.1, 10.0)?;
        count("rosa.cg_iters", self.cg_iters, 1, 50)?;
        within("rosa.cg_rtol", self.cg_rtol, 1e-6, 0.1)?;
        count("rosa.top_k", self.top_k, 8, 1024)?;
        count("rosa.support", self.support, 256, usize::MAX)?;
        count("rosa.rank", self.rank, 1, 16)?;
        within("rosa.decay", self.decay, 0.5, 1.0)?;
        positive("rosa.canary_step", self.canary_step)?;
        positive("rosa.canary_mean", self.canary_mean)?;
        positive("rosa.canary_max", self.canary_max)?;
        within("rosa.confidence", self.confidence, 0.0, 1.0)?;
        count("rosa.max_updates", self.max_updates as usize, 0, 1000)?;
        within("rosa.wait", self.wait, 0.0, 1.0)?;
        Ok(Rosa { params: self, direction: StepDirection::Solved })
    }
}

/// Which way the parameters are moved. All but the first are controls of experiments: they are as long as the step that
/// [`Solved`](Self::Solved) would have made, in predicted divergence, and need not lower the objective.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StepDirection {
    /// The solution of the linear system.
    #[default]
    Solved,
    /// The plain gradient.
    Gradient,
    /// A direction uniform on the sphere.
    Random {
        /// What it is drawn with.
        seed: u64,
    },
}

/// A checked configuration. [`update`](Self::update) and [`learn`](Self::learn) make steps under it.
///
/// ```
/// use trimtab_adapters::rosa::RosaParams;
///
/// let rosa = RosaParams::default().check().unwrap();
/// assert_eq!(rosa.params().eps_neg, 0.02);
/// assert!(RosaParams { damping: 0.0, ..RosaParams::default() }.check().is_err());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Rosa {
    params: RosaParams,
    direction: StepDirection,
}

impl Rosa {
    /// Its numbers.
    pub fn params(&self) -> &RosaParams {
        &self.params
    }

    /// Which way it moves.
    pub fn direction(&self) -> StepDirection {
        self.direction
    }

    /// The same configuration as a control that moves another way.
    pub fn with_direction(self, direction: StepDirection) -> Rosa {
        Rosa { direction, ..self }
    }

    pub(super) fn beta(&self, reward: f64) -> f64 {
        if reward < 0.0 { self.params.beta_neg } else { self.params.beta_pos }
    }

    pub(super) fn eps(&self, reward: f64) -> f64 {
        if reward < 0.0 { self.params.eps_neg } else { self.params.eps_pos }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_held_to_its_range() {
        let base = RosaParams::default;
        assert!(base().check().is_ok());
        let bad = [
            RosaParams { beta_neg: 0.24, ..base() },
            RosaParams { beta_pos: 4.1, ..base() },
            RosaParams { eps_neg: -0.01, ..base() },
            RosaParams { eps_pos: 0.21, ..base() },
            RosaParams { damping: f64::NAN, ..base() },
            RosaParams { cg_iters: 0, ..base() },
            RosaParams { cg_rtol: 0.2, ..base() },
            RosaParams { top_k: 7, ..base() },
            RosaParams { support: 255, ..base() },
            RosaParams { rank: 17, ..base() },
            RosaParams { decay: 0.4, ..base() },
            RosaParams { canary_step: 0.0, ..base() },
            RosaParams { canary_mean: f64::INFINITY, ..base() },
            RosaParams { canary_max: -1.0, ..base() },
            RosaParams { confidence: 1.1, ..base() },
            RosaParams { max_updates: 1001, ..base() },
            RosaParams { wait: -0.1, ..base() },
        ];
        for params in bad {
            assert!(params.clone().check().is_err(), "{params:?}");
        }
    }

    #[test]
    fn a_file_names_what_it_changes_and_nothing_unknown() {
        let read = |text: &str| serde_json::from_str::<RosaParams>(text);
        let params = read(r#"{"block":"last_mlp_lora","signs":"both","rank":2}"#).unwrap();
        let expected = RosaParams {
            block: BlockKind::LastMlpLora,
            signs: Signs::Both,
            rank: 2,
            ..RosaParams::default()
        };
        assert_eq!(params, expected);
        assert!(read(r#"{"betta":1.0}"#).is_err());
    }
}
