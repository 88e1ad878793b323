//! The `steering` object of a request.
//!
//! Flat structs of optional fields: what belongs together is decided where they are resolved, so that every refusal can
//! name its field. Presets, the server default and the `request` of a full receipt have the same shape.

use super::adapt::Adapt;
use serde::{Deserialize, Serialize};
use trimtab_steering::spec::{MonitorSpec, VectorSpec};
use utoipa::ToSchema;

/// What is done to the model while it answers. An unknown key, at any depth, is an error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Steering {
    /// A named object of the server's. A preset cannot name another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// `false` drops the server default, unless the operator locked it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_default: Option<bool>,
    /// Vectors in order of application, behind those of the server default and of the preset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vectors: Option<Vec<VectorSpec>>,
    /// What watches the answer. The request's replaces the preset's, and that the server default's, as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor: Option<MonitorSpec>,
    /// The adapter that the answer is made with; in requests only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapt: Option<Adapt>,
    /// Not supported yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub ponder: Option<serde_json::Value>,
    /// Not supported yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub forecast: Option<serde_json::Value>,
    /// What two vectors at one site and position are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Conflict>,
    /// How much is told of what was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Level>,
}

/// What two vectors at one site and position are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Conflict {
    /// Applied one behind the other.
    #[default]
    Sequential,
    /// An error.
    Error,
    /// Not supported yet.
    Priority,
}

/// How much is told of what was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing.
    None,
    /// What acted, where, on how many tokens.
    #[default]
    Summary,
    /// That, and all that is needed to do it again.
    Full,
}
