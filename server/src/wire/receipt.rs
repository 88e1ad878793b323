//! The receipt: what was done to an answer, and in its full form all that is needed to do it again.

use super::flag::Flag;
use super::steering::{Op, Steering};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What was done to one answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Receipt {
    /// Version of this shape.
    pub spec: u32,
    /// The request.
    pub request_id: String,
    /// Of every draw.
    pub seed: u64,
    /// How often the answer was begun, rewinds included.
    pub attempts: u32,
    /// First 16 digits of the plan's fingerprint.
    pub plan: String,
    /// First 16 digits of the fingerprint of what can touch the prompt's keys and values.
    pub kv: String,
    /// Of the model.
    pub weights_sha256: String,
    /// Of the chat template; `null` without one.
    pub template_sha256: Option<String>,
    /// Whether the answer is the same whoever else is served.
    #[schema(value_type = bool)]
    pub batch_invariant: Flag,
    /// Vectors in order of application.
    pub vectors: Vec<VectorReceipt>,
    /// Tokens that were computed.
    pub cost: Cost,
    /// Fields of the request that nothing was done with.
    pub ignored: Vec<String>,
    /// What is to be known about the vectors.
    pub warnings: Vec<String>,
    /// In a full receipt: everything after defaults and presets were applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Steering>,
}

/// What one vector did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VectorReceipt {
    /// Its id or source; `inline` for one that came with the request.
    pub id: String,
    /// Of its file.
    pub sha256: String,
    /// What was done with it.
    pub op: Op,
    /// The scale in force.
    pub scale: f32,
    /// Where.
    pub sites: Vec<SiteReceipt>,
}

/// What one vector did at one site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SiteReceipt {
    /// The site.
    pub site: String,
    /// How many tokens it changed.
    pub tokens: u64,
    /// The dose that was predicted; left out where it depends on the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dose: Option<f64>,
    /// Mean dose; only where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dose_mean: Option<f64>,
    /// Largest dose; only where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dose_max: Option<f64>,
    /// Mean class coordinate before it acted; only where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<f64>,
    /// Mean class coordinate behind it; only where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<f64>,
}

/// Tokens that were computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cost {
    /// For the answer.
    pub forward_tokens: u64,
    /// Of them taken back.
    pub discarded_tokens: u64,
    /// For monitors.
    pub monitor_tokens: u64,
}
