//! A vector as it is to be applied.

use crate::file::Apply;
use crate::file::card::OperationKind;
use crate::ops::Rescale;
use crate::schedule::Span;
use serde::{Deserialize, Serialize};

/// A vector as it is to be applied: one of `id`, `source` and `inline`, and how.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Vector))]
#[serde(deny_unknown_fields)]
pub struct VectorSpec {
    /// A registered vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `file:` and a path under the server's folder of vectors. Needs the server's permission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The file itself. Needs the server's permission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inline: Option<InlineFile>,
    /// Instead of the file's operation: a vector that adds may also project, clamp or rotate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<OperationKind>,
    /// EasySteer's word for `op`: `direct` or `erase`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// Instead of the file's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f32>,
    /// Another spelling of `scale`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coeff: Option<f32>,
    /// Another spelling of `scale`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strength: Option<f32>,
    /// Another spelling of `scale`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiplier: Option<f32>,
    /// Only these blocks, from 0. Not together with `sites`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<u32>>,
    /// Only these sites, such as `resid_post.12`. Not together with `layers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sites: Option<Vec<String>>,
    /// Which tokens it acts on, instead of the file's scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apply: Option<Apply>,
    /// When it acts, and how its strength changes along the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateSpec>,
    /// What happens to a token's length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rescale: Option<Rescale>,
    /// Spans of the answer in which it is off. Left out: tool calls, where the model can write one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_in: Option<Vec<Span>>,
    /// A label for logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// EasySteer's field. Rows are of unit length already, so only `true` is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
    /// Lower end of `clamp`, in class coordinates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f32>,
    /// Upper end of `clamp`, in class coordinates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f32>,
    /// Angle of `rotate` at scale 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degrees: Option<f32>,
}

/// A vector file inside a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Inline))]
#[serde(deny_unknown_fields)]
pub struct InlineFile {
    /// Its bytes in base64, at most 4 MiB of them.
    pub safetensors_b64: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// When a vector acts, and how its strength changes along the answer. The fields belong to kinds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Gate))]
#[serde(deny_unknown_fields)]
pub struct GateSpec {
    /// Which fields count.
    pub kind: GateKind,
    /// Of `above` and `below`: the registered vector whose class coordinate is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<String>,
    /// Of `above` and `below`: where it is read; may be left out for a vector of one site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Of `above` and `below`: 0 is the mean of the negatives, 1 that of the positives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// Of `decay`: generated tokens in which strength falls to a half.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_life: Option<f32>,
    /// Of `warmup`: generated tokens until it acts in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u32>,
}

/// The kinds of gate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum GateKind {
    /// Always in full.
    #[default]
    Always,
    /// Where a class coordinate is above a threshold.
    Above,
    /// Where a class coordinate is below a threshold.
    Below,
    /// Dying away.
    Decay,
    /// Growing.
    Warmup,
}
