//! What both generating routes say about how tokens are chosen.

use super::union::Texts;
use std::collections::BTreeMap;

/// How tokens are to be chosen, as it was written. Its fields are those of the request bodies.
#[derive(Debug, Clone, Default)]
pub struct Knobs {
    /// `temperature`.
    pub temperature: Option<f32>,
    /// `top_p`.
    pub top_p: Option<f32>,
    /// `top_k`.
    pub top_k: Option<i64>,
    /// `min_p`.
    pub min_p: Option<f32>,
    /// `repeat_penalty`.
    pub repeat_penalty: Option<f32>,
    /// `presence_penalty`.
    pub presence_penalty: Option<f32>,
    /// `frequency_penalty`.
    pub frequency_penalty: Option<f32>,
    /// `logit_bias`.
    pub logit_bias: Option<BTreeMap<String, f32>>,
    /// `stop`.
    pub stop: Option<Texts>,
    /// `seed`.
    pub seed: Option<i64>,
    /// `n`.
    pub n: Option<i64>,
}
