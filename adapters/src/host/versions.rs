//! Adapters and versions as they are shown, and as they leave.

use crate::rosa::GuardReading;
use serde::{Deserialize, Serialize};

/// An adapter, in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdapterSummary {
    /// `adapter`.
    pub object: String,
    /// Its name.
    pub id: String,
    /// How it learns: `rosa` or `tpop`.
    pub method: String,
    /// The newest version; 0 is the untaught adapter.
    pub version: u32,
    /// When it was made, seconds since 1970.
    pub created: i64,
    /// When its newest version was published, seconds since 1970.
    pub updated: i64,
    /// Where it acts: `final`, `mlp_out.29`, or null where it changes nothing in the model.
    pub site: Option<String>,
    /// Length of its parameters.
    pub norm: f64,
    /// Bytes of its newest state.
    pub bytes: u64,
    /// Lessons about answers.
    pub feedback: u64,
    /// Duels that were decided.
    pub duels: u64,
    /// The weights it was made for.
    pub weights_sha256: String,
    /// Why it learns nothing at present: `paused`, `update_cap`, `position_bias`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// What its taste says of its settings, best first: name and reward in log-odds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arms: Vec<RankedArm>,
}

/// A setting and what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RankedArm {
    /// The setting.
    pub name: String,
    /// Log-odds of being preferred to a setting of reward 0.
    pub reward: f64,
}

/// A version, in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdapterVersionSummary {
    /// Its number.
    pub version: u32,
    /// The one before.
    pub parent: u32,
    /// `feedback`, `duel`, `revert` or `import`.
    pub cause: String,
    /// When it was published, seconds since 1970.
    pub created: i64,
    /// KL spent on it, nats per token.
    pub kl: Option<f64>,
    /// Length of its parameters.
    pub norm: f64,
    /// The version it equals, after a revert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restores: Option<u32>,
    /// The lesson that taught it: `fb-…` or `duel-…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lesson: Option<String>,
    /// What was said: a reward and its source, or a choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub said: Option<serde_json::Value>,
    /// The guards.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub guards: Vec<GuardReading>,
}

/// An adapter that went back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reverted {
    /// The adapter.
    pub adapter: String,
    /// The version before.
    pub from: u32,
    /// The new version.
    pub version: u32,
    /// The version it equals.
    pub restores: u32,
}

/// A version as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedAdapter {
    /// The file.
    pub bytes: Vec<u8>,
    /// Its digest, in hexadecimal.
    pub sha256: String,
    /// The version.
    pub version: u32,
}
