//! `GET /v1/models`.

use serde::Serialize;
use utoipa::ToSchema;

/// The models that are served.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ModelList {
    /// `list`.
    pub object: &'static str,
    /// The model, and the model with each preset.
    pub data: Vec<ModelObject>,
}

/// A model.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ModelObject {
    /// What a request calls it.
    pub id: String,
    /// `model`.
    pub object: &'static str,
    /// Since when it is served, in Unix seconds.
    pub created: u64,
    /// `trimtab`.
    pub owned_by: &'static str,
    /// Tokens of a prompt and its answer, by vLLM's name.
    pub max_model_len: usize,
    /// The same, by OpenRouter's.
    pub context_length: usize,
    /// What it is.
    pub trimtab: ModelFacts,
}

/// What a model is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ModelFacts {
    /// Its architecture.
    pub arch: &'static str,
    /// Its blocks.
    pub n_layers: usize,
    /// Its stream's width.
    pub d_model: usize,
    /// Tokens of a sequence.
    pub context: usize,
    /// The type most of its weights are stored as.
    pub quantization: String,
    /// Over all its weights.
    pub weights_sha256: String,
    /// Of its chat template; `null` without one.
    pub template_sha256: Option<String>,
}
