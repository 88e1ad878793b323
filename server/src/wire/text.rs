//! `POST /tokenize`, `/detokenize` and `/apply-template`, as llama.cpp has them.

use super::chat::ChatMessage;
use super::rest::Rest;
use super::union::{any_of, id, list};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

/// A text whose tokens are wanted.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct TokenizeRequest {
    /// The text.
    pub content: String,
    /// Whether a token that begins a text is put in front, where the model has one.
    pub add_special: Option<bool>,
    /// Whether control tokens that the text spells are these tokens; they are, if left out.
    pub parse_special: Option<bool>,
    /// Whether tokens come with their texts; then an answer longer than a body may be is refused.
    pub with_pieces: Option<bool>,
    /// Everything else: names only.
    #[serde(flatten)]
    #[schema(ignore)]
    pub rest: Rest,
}

/// Tokens.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TokenizeResponse {
    /// In order.
    pub tokens: Tokens,
}

/// Tokens, with or without their texts.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Tokens {
    /// Their ids.
    Ids(Vec<u32>),
    /// Ids and texts.
    Pieces(Vec<TokenPiece>),
}

impl PartialSchema for Tokens {
    fn schema() -> RefOr<Schema> {
        // An empty list is both.
        any_of([list(id()), list(TokenPiece::schema())])
    }
}

impl ToSchema for Tokens {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        TokenPiece::schemas(schemas);
    }
}

/// A token and its text.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TokenPiece {
    /// Its id.
    pub id: u32,
    /// Its text.
    pub piece: Piece,
}

/// The text of a token.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Piece {
    /// Whole characters.
    Text(String),
    /// Bytes that are no text by themselves.
    Bytes(Vec<u8>),
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
    /// As in a chat request.
    #[schema(value_type = Option<Object>)]
    pub chat_template_kwargs: Option<BTreeMap<String, serde_json::Value>>,
    /// As in a chat request.
    pub reasoning_effort: Option<String>,
    /// As in a chat request.
    pub add_generation_prompt: Option<bool>,
    /// As in a chat request.
    pub continue_final_message: Option<bool>,
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
