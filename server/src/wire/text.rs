//! `POST /tokenize`, `/detokenize` and `/apply-template`, as llama.cpp has them.

use super::chat::ChatMessage;
use super::union::Rest;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A text whose tokens are wanted.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct TokenizeRequest {
    /// The text. Control tokens written in it stay text.
    pub content: String,
    /// Whether a token that begins a text is put in front, where the model has one.
    pub add_special: Option<bool>,
    /// Everything else: names only.
    #[serde(flatten)]
    #[schema(ignore)]
    pub rest: Rest,
}

/// Tokens.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TokenizeResponse {
    /// Their ids.
    pub tokens: Vec<u32>,
}

/// Tokens whose text is wanted.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct DetokenizeRequest {
    /// Their ids.
    pub tokens: Vec<u32>,
    /// Everything else: names only.
    #[serde(flatten)]
    #[schema(ignore)]
    pub rest: Rest,
}

/// A text.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DetokenizeResponse {
    /// The text, control tokens included.
    pub content: String,
}

/// A conversation whose prompt is wanted.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct TemplateRequest {
    /// The conversation.
    #[schema(min_items = 1)]
    pub messages: Vec<ChatMessage>,
    /// Everything else: names only.
    #[serde(flatten)]
    #[schema(ignore)]
    pub rest: Rest,
}

/// A prompt.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TemplateResponse {
    /// The text, as the model's template writes it.
    pub prompt: String,
}
