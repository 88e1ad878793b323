//! The keys of a learner of tastes, with their defaults and ranges.

use super::error::TpopError;
use serde::{Deserialize, Serialize};

/// Where duels are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuelLevel {
    /// Whole answers are sampled, and two of them are shown.
    Response,
    /// Two answers grow in lockstep, each under its own tilt.
    Token,
}

/// What gives an answer its reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadKind {
    /// `r = θᵀφ`.
    Linear,
    /// One hidden layer of 64 tanh units.
    Mlp,
}

/// How the confidence matrix V is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfidenceKind {
    /// `V = λI + Σggᵀ` on the features, or on the last hidden layer.
    Exact,
    /// `V_j = λ + Σg_j²` over all weights.
    Diag,
}

/// How the second arm is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecondRule {
    /// The largest `r + νu`.
    Ucb,
    /// Each of the others with the same probability.
    Random,
    /// The largest `r` among the others.
    RunnerUp,
    /// The largest reward under weights drawn from `N(θ, H⁻¹)`.
    Thompson,
}

/// What is believed of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseRule {
    /// Every label is right with probability η.
    Soft,
    /// From 200 pairs on, each label has a reliability of its own (RE-PO, arXiv 2509.24159). Where fewer than five pairs
    /// of answers differ, as with three settings, it is `Soft`.
    Repo,
}

/// What a tie teaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TieRule {
    /// Nothing.
    Ignore,
    /// That both answers are equally good: a label of ½.
    Half,
}

/// What is answered between questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServeRule {
    /// Arm a of the sampled candidates.
    BestOf,
    /// The plain answer.
    Off,
}

/// What tokens are scored by at the token level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenFeatureKind {
    /// Projected rows of the output matrix: wording only, no further model call.
    Embed,
    /// Activations of the prefix with each candidate appended.
    Lookahead,
}

/// What a token's score is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenScore {
    /// Its log-probability.
    Tilt,
    /// Its probability, as in the authors' code.
    Prob,
}

/// The keys `tpop.*` as users write them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TpopParams {
    /// Where duels are held.
    pub level: DuelLevel,
    /// m: how many answers are sampled for a duel, 2–16.
    pub candidates: usize,
    /// What gives an answer its reward.
    pub head: HeadKind,
    /// How V is kept.
    pub confidence: ConfidenceKind,
    /// Principal components in a feature vector, 8–512; the length comes on top.
    pub features: usize,
    /// How the second arm is chosen.
    pub second: SecondRule,
    /// ν: the weight of the bonus in log-odds, 0–5.
    pub nu: f64,
    /// λ: the ridge of the fit and the start of V, 0.01–100.
    pub lambda: f64,
    /// η: how likely a label is right, 0.55–1.
    pub eta: f64,
    /// What is believed of labels.
    pub noise: NoiseRule,
    /// How many duels are held before they must be worth it, 0–1000.
    pub ask_budget: usize,
    /// What a tie teaches.
    pub ties: TieRule,
    /// What is answered between questions.
    pub serve: ServeRule,
    /// After so many further pairs a pair counts half, 5–1000; `None` for never.
    pub half_life: Option<usize>,
    /// How many pairs are kept, 20–100,000.
    pub max_pairs: usize,
    /// ω: the weight of the score at the token level, 0–5.
    pub omega: f64,
    /// How many of each row's likeliest tokens are scored, 2–200.
    pub top_k: usize,
    /// The most a tilt may move one token's distribution, in nats, 0–2.
    pub kl_cap: f64,
    /// What tokens are scored by.
    pub token_features: TokenFeatureKind,
    /// What a token's score is added to.
    pub score: TokenScore,
}

impl Default for TpopParams {
    fn default() -> Self {
        TpopParams {
            level: DuelLevel::Response,
            candidates: 4,
            head: HeadKind::Linear,
            confidence: ConfidenceKind::Exact,
            features: 64,
            second: SecondRule::Ucb,
            nu: 0.5,
            lambda: 1.0,
            eta: 0.95,
            noise: NoiseRule::Soft,
            ask_budget: 20,
            ties: TieRule::Ignore,
            serve: ServeRule::BestOf,
            half_life: None,
            max_pairs: 500,
            omega: 1.0,
            top_k: 40,
            kl_cap: 0.5,
            token_features: TokenFeatureKind::Embed,
            score: TokenScore::Tilt,
        }
    }
}

impl TpopParams {
    /// The checked form.
    ///
    /// # Errors
    ///
    /// [`TpopError::Range`] with the key, its value and its range.
    pub fn check(self) -> Result<Tpop, TpopError> {
        let half_life = self.half_life.unwrap_or(5);
        let counts = [
            ("tpop.candidates", self.candidates, 2, 16),
            ("tpop.features", self.features, 8, 512),
            ("tpop.ask_budget", self.ask_budget, 0, 1000),
            ("tpop.half_life", half_life, 5, 1000),
            ("tpop.max_pairs", self.max_pairs, 20, 100_000),
            ("tpop.top_k", self.top_k, 2, 200),
        ];
        let floats = [
            ("tpop.nu", self.nu, 0.0, 5.0),
            ("tpop.lambda", self.lambda, 0.01, 100.0),
            ("tpop.eta", self.eta, 0.55, 1.0),
            ("tpop.omega", self.omega, 0.0, 5.0),
            ("tpop.kl_cap", self.kl_cap, 0.0, 2.0),
        ];
        let counts = counts
            .map(|(key, value, low, high)| (key, value as f64, f64::from(low), f64::from(high)));
        for (key, value, low, high) in counts.into_iter().chain(floats) {
            if !(low..=high).contains(&value) {
                return Err(TpopError::Range { key, value, low, high });
            }
        }
        Ok(Tpop { params: self })
    }
}

/// Checked keys of a learner of tastes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tpop {
    params: TpopParams,
}

impl Tpop {
    /// The keys, each in its range.
    pub fn params(&self) -> &TpopParams {
        &self.params
    }

    /// The keys to go on with after the length or repetition of served answers left its usual range: plain answers between
    /// questions or, at the token level, half the cap.
    pub fn restrained(self) -> Tpop {
        let params = match self.params.level {
            DuelLevel::Response => TpopParams { serve: ServeRule::Off, ..self.params },
            DuelLevel::Token => TpopParams { kl_cap: self.params.kl_cap / 2.0, ..self.params },
        };
        Tpop { params }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_in_range_and_survive_json() {
        let tpop = TpopParams::default().check().unwrap();
        let text = serde_json::to_string(tpop.params()).unwrap();
        let back: TpopParams = serde_json::from_str(&text).unwrap();
        assert_eq!(back, TpopParams::default());
        assert_eq!(serde_json::from_str::<TpopParams>("{}").unwrap(), back);
        assert!(serde_json::from_str::<TpopParams>(r#"{"mu":1}"#).is_err());
    }

    #[test]
    fn restraint_serves_less_and_stays_in_range() {
        let response = TpopParams::default().check().unwrap().restrained();
        assert_eq!((response.params().serve, response.params().kl_cap), (ServeRule::Off, 0.5));
        let token = TpopParams { level: DuelLevel::Token, ..TpopParams::default() };
        let token = token.check().unwrap().restrained();
        assert_eq!((token.params().serve, token.params().kl_cap), (ServeRule::BestOf, 0.25));
        assert!(token.params().check().is_ok());
    }

    #[test]
    fn values_outside_their_ranges_are_refused() {
        let usual = TpopParams::default;
        let bad = [
            TpopParams { candidates: 1, ..usual() },
            TpopParams { candidates: 17, ..usual() },
            TpopParams { features: 7, ..usual() },
            TpopParams { nu: -0.1, ..usual() },
            TpopParams { nu: f64::NAN, ..usual() },
            TpopParams { lambda: 0.0, ..usual() },
            TpopParams { eta: 0.5, ..usual() },
            TpopParams { eta: 1.01, ..usual() },
            TpopParams { ask_budget: 1001, ..usual() },
            TpopParams { half_life: Some(4), ..usual() },
            TpopParams { max_pairs: 19, ..usual() },
            TpopParams { omega: 5.1, ..usual() },
            TpopParams { top_k: 1, ..usual() },
            TpopParams { kl_cap: 2.1, ..usual() },
        ];
        for params in bad {
            assert!(matches!(params.check(), Err(TpopError::Range { .. })), "{params:?}");
        }
        let low = TpopParams { half_life: Some(5), max_pairs: 20, kl_cap: 0.0, ..usual() };
        assert!(low.check().is_ok());
    }
}
