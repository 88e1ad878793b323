//! `POST /v1/completions`: the older shape, for prompts without a conversation.

use super::chat::{Steered, Usage};
use super::rest::Rest;
use super::sampling::{
    GenerationBody, GenerationFields, ResponseFormat, StreamOptions, generation_body,
};
use super::steering::Steering;
use super::union::{Inputs, Texts};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

generation_body! {
/// A text that is to be continued. Fields that are not listed are ignored and named in `x-trimtab-ignored`, except
/// those that would change the answer's shape, such as `suffix`: these are refused.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct CompletionRequest {
    /// The text, or its token ids; or a list of such, each of which gets its own answers: at most 256 answers in all, and 8
    /// prompts beside vectors or a monitor in `steering`, or full receipts.
    pub prompt: Inputs,
    /// Whether control tokens that the text spells are these tokens; text, if left out. Meant for prompts that were
    /// written under the model's template already, or with tokens such as those around a gap to be filled.
    pub parse_special: Option<bool>,
    /// Whether the prompt is repeated in front of the answer.
    pub echo: Option<bool>,
    /// At most as many as `n`: answers are not compared.
    #[schema(minimum = 0, maximum = 8)]
    pub best_of: Option<u64>,
    /// Log-probabilities of the tokens, and of so many of the most likely ones beside each.
    #[schema(maximum = 20)]
    #[serde(default, deserialize_with = "count")]
    pub logprobs: Option<u64>,
}
}

/// A number; `false` is none, as clients of the chat route write it.
fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null | Value::Bool(false) => Ok(None),
        other => u64::deserialize(other).map(Some).map_err(D::Error::custom),
    }
}

/// A whole answer, or a piece of one.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CompletionResponse {
    /// Names it.
    pub id: String,
    /// `text_completion`.
    pub object: &'static str,
    /// Unix seconds.
    pub created: u64,
    /// The model as it was asked for.
    pub model: String,
    /// Build, weights and device in 12 digits; left out in pieces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_fingerprint: Option<String>,
    /// The answers in order, or what is new of one.
    pub choices: Vec<CompletionChoice>,
    /// Token counts; in pieces only in the last, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What was done to the model; left out where nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steering: Option<Steered>,
}

/// One of the answers, or what is new of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CompletionChoice {
    /// From 0.
    pub index: usize,
    /// The text.
    pub text: String,
    /// How likely its tokens were, if that was asked for.
    pub logprobs: Option<TextLogprobs>,
    /// Why it ended: `stop`, `length` or `content_filter`.
    pub finish_reason: Option<&'static str>,
    /// Where in the answer this is; only in pieces of requests with `steering`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steering: Option<super::chat::Place>,
}

/// How likely tokens were, in lists beside each other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct TextLogprobs {
    /// Their texts.
    pub tokens: Vec<String>,
    /// Their log-probabilities.
    pub token_logprobs: Vec<f64>,
    /// The most likely tokens at their places.
    pub top_logprobs: Vec<BTreeMap<String, f64>>,
    /// Where in the text they begin, in characters; the tokens of one character begin where it does.
    pub text_offset: Vec<usize>,
}
