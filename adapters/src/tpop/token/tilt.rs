//! What a taste adds to the logits of two rows.
//!
//! `ln π(v|y) + ω_N·s(v)`, and for arm b `+ ω_N·ν·u(v)`, over the union of both rows' likeliest tokens; other tokens keep
//! their logits. `ω_N = ω·N/(N + 5)`. `s(v) = θᵀP(w_v − μ)` and `u(v) = ‖P(w_v − μ) − φ_a‖_{V⁻¹}`, with φ_a the mean of
//! arm a's tokens so far, are centred over the candidates and divided by one common scale, the root of the sum of their
//! variances: two scales in one sum are a defect of the released code. ω_N is then shrunk until the tilted
//! distribution's divergence from the plain one, over the whole vocabulary and before temperature, is within the cap.
//!
//! What the contrast of a token is taken with, and the common scale, are reconstructions.

use super::features::TokenFeatures;
use crate::tpop::confidence::Confidence;
use crate::tpop::error::TpopError;
use crate::tpop::head::RewardHead;
use crate::tpop::matrix::{minus, wide};
use crate::tpop::params::{TokenFeatureKind, TokenScore, TpopParams};
use crate::tpop::state::TpopState;
use std::sync::Arc;
use trimtab_runtime::sample::Step;

/// With so many pairs ω_N is half of ω.
const HALF_PAIRS: f64 = 5.0;
/// Halvings of the interval in which the largest allowed share of ω_N lies.
const SHRINKINGS: usize = 48;
/// Below this the candidates do not differ.
const LEAST_SCALE: f64 = 1e-9;

/// Which arm a row writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenArm {
    /// The best so far.
    A,
    /// The informative one.
    B,
}

/// One row of a step.
#[derive(Debug, Clone, Copy)]
pub struct DuelRow<'a> {
    /// The arm it writes.
    pub arm: TokenArm,
    /// Its logits, `[vocab_size]`.
    pub logits: &'a [f32],
}

impl TokenArm {
    /// The answer's place in the group.
    pub(super) fn index(self) -> usize {
        match self {
            TokenArm::A => 0,
            TokenArm::B => 1,
        }
    }
}

/// What is added to a row.
#[derive(Debug, Clone, PartialEq)]
pub struct TiltedRow {
    /// Candidates, in order of ids, with what is added to the logit; under `score = prob` with the whole score.
    pub scores: Vec<(u32, f64)>,
    /// KL of the tilted distribution to the plain one, in nats; 0 under `score = prob`, which is no distribution.
    pub kl: f64,
    /// The share of ω_N that the cap left.
    pub share: f64,
}

impl TiltedRow {
    /// A row that stays as it is.
    pub(super) fn nothing() -> TiltedRow {
        TiltedRow { scores: Vec::new(), kl: 0.0, share: 1.0 }
    }
}

/// How strongly a state's reward and bonus move the logits of candidates.
#[derive(Debug, Clone, Copy)]
pub(super) struct TiltStrength {
    params: TpopParams,
    /// ω_N, the weight after N pairs.
    omega: f64,
}

impl TiltStrength {
    pub(super) fn of(state: &TpopState) -> TiltStrength {
        let (params, n) = (*state.scope().config.params(), state.taught() as f64);
        TiltStrength { params, omega: params.omega * n / (n + HALF_PAIRS) }
    }

    pub(super) fn is_plain(&self) -> bool {
        self.omega == 0.0
    }

    pub(super) fn score(&self) -> TokenScore {
        self.params.score
    }

    /// What is added to the candidates of one row, with their s and u as [`standardised`] gives them.
    // logits [vocab_size], [candidates], [candidates], [candidates] -> [candidates]
    pub(super) fn tilt(
        &self,
        row: &DuelRow<'_>,
        log_sum_exp: f64,
        candidates: &[u32],
        (s, u): (&[f64], &[f64]),
    ) -> TiltedRow {
        let weight = match row.arm {
            TokenArm::A => 0.0,
            TokenArm::B => self.params.nu,
        };
        let biases = s.iter().zip(u).map(|(s, u)| self.omega * (s + weight * u));
        let of = |id: &u32| row.logits.get(*id as usize).copied().unwrap_or(f32::NEG_INFINITY);
        let probabilities = candidates.iter().map(|id| (f64::from(of(id)) - log_sum_exp).exp());
        let (biases, probabilities): (Vec<f64>, Vec<f64>) =
            (biases.collect(), probabilities.collect());
        let both = probabilities.iter().zip(&biases);
        let (scores, kl, share): (Vec<f64>, f64, f64) = match self.params.score {
            TokenScore::Prob => (both.map(|(p, bias)| p + bias).collect(), 0.0, 1.0),
            TokenScore::Tilt => {
                let (share, kl) = shrunk(&probabilities, &biases, self.params.kl_cap);
                (biases.iter().map(|bias| share * bias).collect(), kl, share)
            }
        };
        TiltedRow { scores: candidates.iter().copied().zip(scores).collect(), kl, share }
    }
}

/// A state's taste for tokens. It never changes.
#[derive(Debug, Clone)]
pub struct TokenTaste {
    features: Arc<TokenFeatures>,
    scores: Vec<f64>,
    confidence: Confidence,
    strength: TiltStrength,
}

impl TokenTaste {
    /// The taste of a state whose features are those of tokens.
    ///
    /// # Errors
    ///
    /// A state of other features, of a net, or with `lookahead`.
    // θ [features] -> [vocab_size]
    pub fn of(state: &TpopState, features: Arc<TokenFeatures>) -> Result<TokenTaste, TpopError> {
        let params = *state.scope().config.params();
        if state.scope().extractor != *features.id() {
            let hex = crate::tpop::bytes::hex;
            let (found, expected) = (hex(&state.scope().extractor), hex(features.id()));
            return Err(TpopError::OtherExtractor { found, expected });
        }
        if params.token_features == TokenFeatureKind::Lookahead {
            let needs = "tpop.token_features = embed";
            return Err(TpopError::Unsupported { what: "a taste for single tokens", needs });
        }
        let RewardHead::Linear(theta) = state.head() else {
            let needs = "tpop.head = linear";
            return Err(TpopError::Unsupported { what: "tpop.token_features = embed", needs });
        };
        Ok(TokenTaste {
            scores: features.scores(theta),
            confidence: state.confidence().clone(),
            strength: TiltStrength::of(state),
            features,
        })
    }

    /// The features of tokens.
    pub fn features(&self) -> &TokenFeatures {
        &self.features
    }

    /// s of every token.
    // [] -> [vocab_size]
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// Whether it leaves every distribution as it is.
    pub fn is_plain(&self) -> bool {
        self.strength.is_plain()
    }

    pub(super) fn score(&self) -> TokenScore {
        self.strength.score()
    }

    /// What is added to each row of a step; `written` is φ_a, the mean of the tokens that arm a has written.
    // rows of [vocab_size], written [features] -> candidates of each row
    pub fn tilt(&self, rows: &[DuelRow<'_>], written: &[f32]) -> Vec<TiltedRow> {
        let tops = rows.iter().map(|row| Step::of(0, row.logits, self.strength.params.top_k));
        let tops: Vec<Step> = tops.collect();
        let likeliest = tops.iter().flat_map(|step| &step.top);
        let mut candidates: Vec<u32> =
            likeliest.filter(|(_, logprob)| logprob.is_finite()).map(|(id, _)| *id).collect();
        candidates.sort_unstable();
        candidates.dedup();
        let (s, u) = self.standardised(&candidates, &wide(written));
        let each = rows.iter().zip(&tops);
        each.map(|(row, step)| self.strength.tilt(row, step.log_sum_exp, &candidates, (&s, &u)))
            .collect()
    }

    /// s and u of the candidates, standardised.
    // [candidates], [features] -> [candidates], [candidates]
    fn standardised(&self, candidates: &[u32], written: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let s = candidates.iter().map(|id| self.scores.get(*id as usize).copied().unwrap_or(0.0));
        let u = candidates.iter().map(|id| {
            let features = self.features.of_token(*id).map(wide).unwrap_or_default();
            self.confidence.bonus(&minus(&features, written))
        });
        standardised(s.collect(), u.collect())
    }
}

/// s and u centred, over one common scale.
// [candidates], [candidates] -> [candidates], [candidates]
pub(super) fn standardised(s: Vec<f64>, u: Vec<f64>) -> (Vec<f64>, Vec<f64>) {
    let ((s, of_s), (u, of_u)) = (centred(s), centred(u));
    let scale = (of_s + of_u).sqrt();
    let scaled = |values: Vec<f64>| {
        let one = |x: f64| if scale > LEAST_SCALE { x / scale } else { 0.0 };
        values.into_iter().map(one).collect()
    };
    (scaled(s), scaled(u))
}

/// The values about their mean, and their variance.
// [n] -> [n], []
fn centred(values: Vec<f64>) -> (Vec<f64>, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let about: Vec<f64> = values.iter().map(|x| x - mean).collect();
    let variance = about.iter().map(|x| x * x).sum::<f64>() / n;
    (about, variance)
}

/// KL of `q ∝ p·e^(share·bias)` to `p`; what is no candidate has no bias and the rest of the probability.
// [candidates], [candidates] -> []
fn divergence(probabilities: &[f64], biases: &[f64], share: f64) -> f64 {
    let (mut total, mut mean) = (1.0, 0.0);
    for (p, bias) in probabilities.iter().zip(biases) {
        let bias = share * bias;
        total += p * bias.exp_m1();
        mean += p * bias.exp() * bias;
    }
    (mean / total - total.ln()).max(0.0)
}

/// The largest share of the biases within the cap, and its KL. The divergence rises with the share:
/// its derivative is the share times a variance.
// [candidates], [candidates] -> [], []
fn shrunk(probabilities: &[f64], biases: &[f64], cap: f64) -> (f64, f64) {
    let of = |share: f64| divergence(probabilities, biases, share);
    if of(1.0) <= cap {
        return (1.0, of(1.0));
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..SHRINKINGS {
        let middle = (low + high) / 2.0;
        if of(middle) <= cap {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low, of(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_divergence_is_that_of_the_whole_distributions() {
        let plain = [0.5, 0.2, 0.1, 0.15, 0.05];
        // The last two are no candidates.
        let biases = [-0.4, 1.3, 0.2, 0.0, 0.0];
        let weights: Vec<f64> =
            plain.iter().zip(&biases).map(|(p, b): (&f64, &f64)| p * b.exp()).collect();
        let total: f64 = weights.iter().sum();
        let each = weights.iter().zip(&plain);
        let expected: f64 = each.map(|(w, p)| w / total * (w / total / p).ln()).sum();
        let found = divergence(&plain[..3], &biases[..3], 1.0);
        assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
        assert_eq!(divergence(&plain[..3], &biases[..3], 0.0), 0.0);
    }

    #[test]
    fn the_cap_is_kept_and_used_up() {
        let plain = [0.5, 0.2, 0.1];
        let biases = [-4.0, 9.0, 2.0];
        for cap in [0.5, 0.01] {
            let (share, kl) = shrunk(&plain, &biases, cap);
            assert!(kl <= cap && kl > 0.999 * cap && share < 1.0, "{kl} of {cap}");
        }
        assert_eq!(shrunk(&plain, &biases, 0.0), (0.0, 0.0));
        assert_eq!(shrunk(&plain, &[0.01, 0.0, 0.0], 0.5).0, 1.0);
    }
}
