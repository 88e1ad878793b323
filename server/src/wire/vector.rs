//! Administration of steering: registered vectors, presets and the server default.

use super::steering::Steering;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trimtab_steering::file::card::OperationKind;
use utoipa::ToSchema;

/// A registered vector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VectorObject {
    /// `steering.vector`.
    pub object: String,
    /// Its name here.
    pub id: String,
    /// Of its file.
    pub sha256: String,
    /// Of its directions.
    pub content_sha256: String,
    /// What is done with it.
    pub op: OperationKind,
    /// Rows at each site.
    pub rank: usize,
    /// Where it can act.
    pub sites: Vec<String>,
    /// How strongly.
    pub scale: ScaleObject,
    /// `measured`, `unmeasured` or `null`.
    pub status: String,
    /// Dose of scale 1 at each site where it is known beforehand.
    pub dose_per_unit: BTreeMap<String, f64>,
    /// `exact`, or `accepted` for a vector of another model that an operator accepted.
    pub model_match: String,
    /// Whether it was made under the template in force.
    pub template_match: bool,
    /// Length of its file.
    pub bytes: u64,
    /// What is to be known about it.
    pub warnings: Vec<String>,
    /// What the file says of itself; only where one vector is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub header: Option<serde_json::Value>,
}

/// Scales of a vector.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScaleObject {
    /// Used unless another is asked for.
    pub default: f32,
    /// The range that was measured to be safe.
    pub safe: Option<[f32; 2]>,
}

/// All registered vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VectorList {
    /// `list`.
    pub object: String,
    /// By id.
    pub data: Vec<VectorObject>,
}

/// What an upload says beside the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UploadQuery {
    /// The first 12 or more digits of the file's own `weights_sha256`, or `unpinned`.
    pub accept_model: Option<String>,
    /// Whether a vector without effect is taken.
    pub allow_null: Option<bool>,
}

/// A vector to be loaded from where the server finds it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadVector {
    /// Its name here.
    pub id: String,
    /// `file:` and a path under the server's folder of vectors.
    pub source: String,
    /// What the file must hash to.
    pub sha256: Option<String>,
    /// The first 12 or more digits of the file's own `weights_sha256`, or `unpinned`.
    pub accept_model: Option<String>,
    /// Whether a vector without effect is taken.
    pub allow_null: Option<bool>,
}

/// A vector that is no longer registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VectorDeleted {
    /// Its name.
    pub id: String,
    /// `steering.vector`.
    pub object: String,
    /// `true`.
    pub deleted: bool,
}

/// What the server does to every answer, and what requests can name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SteeringObject {
    /// Rises with every change.
    pub version: u64,
    /// What every answer gets that does not drop it.
    pub default: Option<Steering>,
    /// Whether requests cannot drop it.
    pub locked: bool,
    /// Registered vectors that requests may bring while the default is locked.
    pub allow: Vec<String>,
    /// By name.
    pub presets: BTreeMap<String, Steering>,
    /// What weakens the lock; only in the answer to a change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What no request can pass.
    pub limits: LimitsObject,
}

/// What no request can pass.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LimitsObject {
    /// Dose of all vectors at one site.
    pub dose: f64,
    /// Vectors in one request, those of default and preset included.
    pub vectors: usize,
}

/// A change of what the server does. It replaces everything: what is left out is gone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSteering {
    /// The version that is changed; another one in force is a conflict.
    pub expected_version: u64,
    /// What every answer gets that does not drop it.
    pub default: Option<Steering>,
    /// Whether requests can neither drop it nor bring vectors of their own, which could take it back.
    pub locked: Option<bool>,
    /// Registered vectors that requests may bring while the default is locked; none, if left out.
    pub allow: Option<Vec<String>>,
    /// By name.
    pub presets: Option<BTreeMap<String, Steering>>,
}

/// A steering object to be tried.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// As a request would have it.
    pub steering: Steering,
}

/// What a steering object would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Checked {
    /// `true`: what cannot be done is an error.
    pub ok: bool,
    /// Everything after defaults and presets were applied.
    pub resolved: Steering,
    /// Predicted dose of all vectors at each site where it is known beforehand.
    pub dose: BTreeMap<String, f64>,
    /// What is to be known about the vectors.
    pub warnings: Vec<String>,
}
