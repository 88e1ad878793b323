//! `POST /v1/embeddings`.

use super::rest::Rest;
use super::union::Inputs;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Texts that are to become vectors. `dimensions` and `steering` are refused.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct EmbeddingRequest {
    /// A served model or its alias.
    pub model: String,
    /// A text, texts, token ids or lists of them.
    pub input: Inputs,
    /// `float` or `base64` (f32, little-endian).
    pub encoding_format: Option<String>,
    /// Logged as a hash, nothing else.
    pub user: Option<String>,
    /// Everything else: names only.
    #[serde(flatten)]
    #[schema(ignore)]
    pub rest: Rest,
}

/// The vectors.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EmbeddingResponse {
    /// `list`.
    pub object: &'static str,
    /// The model as it was asked for.
    pub model: String,
    /// One for each input, in order.
    pub data: Vec<Embedding>,
    /// Token counts.
    pub usage: EmbeddingUsage,
}

/// One vector.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Embedding {
    /// `embedding`.
    pub object: &'static str,
    /// Which input, from 0.
    pub index: usize,
    /// The vector, of length 1.
    pub embedding: Values,
}

/// The numbers of a vector.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Values {
    /// As numbers.
    Float(Vec<f32>),
    /// As bytes of f32, little-endian, in base64.
    Base64(String),
}

/// Token counts.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct EmbeddingUsage {
    /// Of all inputs.
    pub prompt_tokens: usize,
    /// The same.
    pub total_tokens: usize,
}
