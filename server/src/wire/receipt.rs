//! The receipt: what was done to an answer, and in its full form all that is needed to do it again.

use super::flag::Flag;
use super::steering::{Op, Steering};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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
    /// What watched the answer, and what it did; left out where nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitor: Option<MonitorReceipt>,
    /// Tokens that were computed.
    pub cost: Cost,
    /// Fields of the request that nothing was done with.
    pub ignored: Vec<String>,
    /// What is to be known about the vectors.
    pub warnings: Vec<String>,
    /// In a full receipt: the prompt's tokens, which a template that tells the time would write in another way later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Vec<u32>>,
    /// In a full receipt: a body that asks for the same answer again, whatever the server's defaults are by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Replay>,
}

/// A request after defaults and presets were applied. One of `messages` and `prompt`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Replay {
    /// The model's own name.
    pub model: String,
    /// A conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Turn>>,
    /// Variables of the conversation's template, those of the server included.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub chat_template_kwargs: BTreeMap<String, serde_json::Value>,
    /// Whether the prompt ends with the beginning of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<bool>)]
    pub add_generation_prompt: Option<Flag>,
    /// Whether the answer goes on where the last message ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<bool>)]
    pub continue_final_message: Option<Flag>,
    /// A text's tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Vec<u32>>,
    /// Whether the prompt is repeated before the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<bool>)]
    pub echo: Option<Flag>,
    /// Of every draw.
    pub seed: u64,
    /// How many answers.
    pub n: u64,
    /// The most tokens of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// 0 takes the most likely token.
    pub temperature: f32,
    /// Keeps the fewest tokens whose probabilities sum to this.
    pub top_p: f32,
    /// Keeps the k most likely tokens; 0 keeps all.
    pub top_k: u64,
    /// Keeps tokens at least this likely relative to the most likely one.
    pub min_p: f32,
    /// Divides what was used before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_penalty: Option<f32>,
    /// Subtracted once from what the answer has used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f32>,
    /// Subtracted from what the answer has used, as often as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f32>,
    /// Added to tokens' logits, by token id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logit_bias: Option<BTreeMap<String, f32>>,
    /// Texts that end the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// What is done to the model.
    pub steering: Steering,
}

/// What somebody said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Turn {
    /// Who.
    pub role: String,
    /// What.
    pub content: String,
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

/// What monitors found and did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MonitorReceipt {
    /// `clean`, `recovered`, `stopped`, `exhausted` or `flagged`.
    pub outcome: String,
    /// How often the answer was looked at.
    pub checks: u64,
    /// Checks that found something.
    pub hits: u64,
    /// The most tokens that were held back at once.
    pub held: u64,
    /// Rewinds, in their order.
    pub rewinds: Vec<RewindReceipt>,
    /// Why the answer was ended, where a monitor ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One rewind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RewindReceipt {
    /// Which attempt it began.
    pub attempt: u32,
    /// The watch that asked for it.
    pub watch: String,
    /// How many of the answer's tokens stayed.
    pub from: u64,
    /// How many there were.
    pub at: u64,
    /// How many were taken back.
    pub discarded: u64,
    /// What the watch had found; `null` where it could not tell.
    pub score: Option<f64>,
    /// `retry`.
    pub action: String,
    /// By which rule the point was found.
    pub rule: String,
    /// What was said to the model.
    pub guidance: String,
    /// How hard guidance pushed, where it was a vector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
    /// Safety, altruism, egoism, where they were judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<[i8; 3]>,
    /// `recovered`, `repeated`, `exhausted` or `open`.
    pub outcome: String,
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
