//! Keys of an allocation, and the models it may use.

use crate::error::{TrainerError, at_least, width, within};
use crate::forecast::beta_binomial::BetaParams;
use crate::forecast::grid::ForecastGrid;
use crate::forecast::index::BoxReward;

/// How the answer is chosen: the key `forecast.pick`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerPick {
    /// That of the chain of highest m_0.
    Forecast,
    /// The vote of all chains, each weighing its m_0.
    Vote,
}

/// Keys of an allocation, unchecked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AllocateParams {
    /// `forecast.lambda`, reward per token of a model of price 1: 0 to 0.1.
    pub lambda: f64,
    /// `forecast.hard_cap`, tokens of all chains together, prompts and forced answers aside: at least the grid's last
    /// point.
    pub hard_cap: u32,
    /// `forecast.max_chains`: 1 to 64.
    pub max_chains: usize,
    /// The length of a chain whose forecast is missing, tokens: at most the hard cap.
    pub default_length: u32,
    /// How the answer is chosen.
    pub pick: AnswerPick,
    /// What a box reveals; anything but the forecast's mean is a comparison.
    pub reward: BoxReward,
}

impl Default for AllocateParams {
    fn default() -> AllocateParams {
        AllocateParams {
            lambda: 0.001,
            hard_cap: 1024,
            max_chains: 8,
            default_length: 256,
            pick: AnswerPick::Forecast,
            reward: BoxReward::ForecastMean,
        }
    }
}

impl AllocateParams {
    pub(super) fn check(&self, grid: ForecastGrid) -> Result<(), TrainerError> {
        let cap = f64::from(self.hard_cap);
        within("forecast.lambda", self.lambda, [0.0, 0.1])?;
        within("forecast.hard_cap", cap, [f64::from(grid.max()), f64::from(u32::MAX)])?;
        within("forecast.max_chains", self.max_chains as f64, [1.0, 64.0])?;
        within("forecast.default_length", f64::from(self.default_length), [0.0, cap]).map(|_| ())
    }
}

/// A model that chains may be opened with.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelEntry {
    /// What a token costs, relative to λ: 10⁻⁶ to 10⁶.
    pub price: f64,
    /// Tokens of its prompt, paid when it is entered; later chains fork the prompt.
    pub prefill_tokens: u32,
    /// Its calibrated forecast for an empty chain, `[points]`.
    pub forecast: Vec<BetaParams>,
}

impl ModelEntry {
    pub(super) fn check(&self, grid: ForecastGrid) -> Result<(), TrainerError> {
        within("price", self.price, [1e-6, 1e6])?;
        width("forecast of a model", self.forecast.len(), grid.count())?;
        at_least("points of a forecast", self.forecast.len(), 1)?;
        self.forecast.iter().try_for_each(|of| of.check())
    }

    /// m_0 before the first token.
    pub(super) fn value(&self) -> f64 {
        self.forecast.first().map_or(0.0, |of| of.mean())
    }
}
