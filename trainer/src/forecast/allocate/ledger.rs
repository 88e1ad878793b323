//! What was spent, token by token.

use super::params::ModelEntry;

/// Tokens of one model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelTokens {
    /// Tokens of chains.
    pub thinking: u64,
    /// Tokens of the prompt, once if the model was entered.
    pub prefill: u64,
    /// Tokens of forced answers, those that were not understood included.
    pub forced: u64,
}

/// Tokens of all models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenLedger {
    pub(super) models: Vec<ModelTokens>,
}

impl TokenLedger {
    pub(super) fn of(models: usize) -> TokenLedger {
        TokenLedger { models: vec![ModelTokens::default(); models] }
    }

    pub(super) fn add(&mut self, model: usize, tokens: ModelTokens) {
        if let Some(of) = self.models.get_mut(model) {
            of.thinking += tokens.thinking;
            of.prefill += tokens.prefill;
            of.forced += tokens.forced;
        }
    }

    /// The tokens of each model.
    // [models]
    pub fn models(&self) -> &[ModelTokens] {
        &self.models
    }

    /// The tokens of all models.
    pub fn total(&self) -> ModelTokens {
        let add = |sum: ModelTokens, of: &ModelTokens| ModelTokens {
            thinking: sum.thinking + of.thinking,
            prefill: sum.prefill + of.prefill,
            forced: sum.forced + of.forced,
        };
        self.models.iter().fold(ModelTokens::default(), add)
    }

    /// What decisions were charged, in reward: `λ Σ price (thinking + prefill)`. Forced answers are not in it; a chain
    /// pays for one whenever it stops, so they decide nothing.
    // models [models] -> []
    pub fn cost(&self, models: &[ModelEntry], lambda: f64) -> f64 {
        let price = |(of, model): (&ModelTokens, &ModelEntry)| {
            model.price * (of.thinking + of.prefill) as f64
        };
        lambda * self.models.iter().zip(models).map(price).sum::<f64>()
    }
}
