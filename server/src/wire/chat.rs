//! `POST /v1/chat/completions`: OpenAI's shapes, and ours beside them.

use super::receipt::ReplayableReceipt;
use super::rest::Rest;
use super::sampling::{
    GenerationBody, GenerationFields, ResponseFormat, StreamOptions, generation_body,
};
use super::steering::Steering;
use super::union::{Content, Texts};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trimtab_runtime::sample::Step;
use trimtab_runtime::text::Tokenizer;
use utoipa::ToSchema;

/// JSON has no infinity; this is what OpenAI's API says of a token that cannot be.
const NEVER: f64 = -9999.0;

generation_body! {
/// A conversation that wants an answer. Fields that are not listed are ignored and named in `x-trimtab-ignored`,
/// except those that would change the answer's shape, such as `tools`: these are refused.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct ChatRequest {
    /// The conversation.
    #[schema(min_items = 1)]
    pub messages: Vec<ChatMessage>,
    /// Another name of `max_tokens`.
    #[schema(minimum = -1)]
    pub max_completion_tokens: Option<i64>,
    /// Whether every token comes with its log-probability.
    pub logprobs: Option<bool>,
    /// How many of the most likely tokens are listed beside each.
    #[schema(maximum = 20)]
    pub top_logprobs: Option<u64>,
    /// Variables of the model's chat template, such as `enable_thinking`, beside and above the server's own. Those that
    /// the template does not name do nothing and are named in `x-trimtab-ignored`.
    #[schema(value_type = Option<Object>)]
    pub chat_template_kwargs: Option<BTreeMap<String, serde_json::Value>>,
    /// The variable of this name, where the model's chat template has one.
    pub reasoning_effort: Option<String>,
    /// Whether the prompt ends with the beginning of an answer; it does unless this is `false`.
    pub add_generation_prompt: Option<bool>,
    /// Whether the answer goes on where the last message, an assistant's, ends.
    pub continue_final_message: Option<bool>,
}
}

/// One turn of a conversation.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct ChatMessage {
    /// Who speaks: `system`, `user`, `assistant`, or another role of the model's template.
    pub role: String,
    /// What is said. Only an assistant's or a tool's turn may say nothing.
    pub content: Option<Content>,
    /// Everything else: names only.
    #[serde(flatten)]
    #[schema(ignore)]
    pub rest: Rest,
}

/// A whole answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChatResponse {
    /// Names it.
    pub id: String,
    /// `chat.completion`.
    pub object: &'static str,
    /// Unix seconds.
    pub created: u64,
    /// The model as it was asked for.
    pub model: String,
    /// Build, weights and device in 12 digits.
    pub system_fingerprint: String,
    /// The answers in order.
    pub choices: Vec<ChatChoice>,
    /// Token counts.
    pub usage: Usage,
    /// What was done to the model; left out where nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steering: Option<Steered>,
}

/// One of the answers.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChatChoice {
    /// From 0.
    pub index: usize,
    /// What the model says.
    pub message: Said,
    /// How likely its tokens were, if that was asked for.
    pub logprobs: Option<Logprobs>,
    /// Why it ended: `stop`, `length` or `content_filter`.
    pub finish_reason: &'static str,
}

/// What the model says.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Said {
    /// `assistant`.
    pub role: &'static str,
    /// The text.
    pub content: String,
}

/// Token counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Usage {
    /// Of all prompts, each once however many answers there are.
    pub prompt_tokens: usize,
    /// Delivered, over all answers.
    pub completion_tokens: usize,
    /// Both.
    pub total_tokens: usize,
    /// What is known of the prompt's.
    pub prompt_tokens_details: PromptDetails,
}

/// What is known of a prompt's tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct PromptDetails {
    /// Those whose keys and values were there already.
    pub cached_tokens: usize,
}

/// How likely the tokens of a piece were.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Logprobs {
    /// One entry per token.
    pub content: Vec<TokenLogprob>,
}

/// How likely a token was: log-softmax of the logits it was sampled from, before temperature.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TokenLogprob {
    /// Its text.
    pub token: String,
    /// Its log-probability.
    pub logprob: f64,
    /// Its bytes: a token may be a part of a character.
    pub bytes: Vec<u8>,
    /// The most likely tokens at this place.
    pub top_logprobs: Vec<TopLogprob>,
}

/// One of the most likely tokens.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TopLogprob {
    /// Its text.
    pub token: String,
    /// Its log-probability.
    pub logprob: f64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Logprobs {
    /// Of the tokens that were sampled, with so many likely tokens beside each.
    pub fn of<'a>(
        steps: impl IntoIterator<Item = &'a Option<Step>>,
        tokenizer: &Tokenizer,
        most: usize,
    ) -> Logprobs {
        let named = |id, logprob| TopLogprob::of(tokenizer, id, logprob);
        let entry = |step: &Step| {
            let TopLogprob { token, logprob, bytes } = named(step.token, step.logprob);
            let top = step.top.iter().take(most).map(|(id, logprob)| named(*id, *logprob));
            TokenLogprob { token, logprob, bytes, top_logprobs: top.collect() }
        };
        Logprobs { content: steps.into_iter().flatten().map(entry).collect() }
    }
}

impl TopLogprob {
    /// A token as people read it, and its bytes.
    pub(crate) fn of(tokenizer: &Tokenizer, id: u32, logprob: f64) -> TopLogprob {
        let bytes = tokenizer.token_bytes(id).unwrap_or_default().to_vec();
        let token = match bytes.as_slice() {
            // A control token adds nothing to a text, but it has a name.
            [] => tokenizer.token_text(id).unwrap_or_default().to_owned(),
            bytes => String::from_utf8_lossy(bytes).into_owned(),
        };
        TopLogprob { token, logprob: logprob.max(NEVER), bytes }
    }
}

/// What was done to the model.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Steered {
    /// Of one answer.
    One(Box<ReplayableReceipt>),
    /// Of several.
    Several {
        /// In order.
        choices: Vec<ReplayableReceipt>,
    },
}

impl Steered {
    /// Of as many answers as there are receipts.
    pub(crate) fn of(mut receipts: Vec<ReplayableReceipt>) -> Option<Steered> {
        match receipts.len() {
            0 => None,
            1 => receipts.pop().map(|receipt| Steered::One(Box::new(receipt))),
            _ => Some(Steered::Several { choices: receipts }),
        }
    }
}

/// A piece of a stream.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChatChunk {
    /// The same in all chunks.
    pub id: String,
    /// `chat.completion.chunk`.
    pub object: &'static str,
    /// Unix seconds.
    pub created: u64,
    /// The model as it was asked for.
    pub model: String,
    /// One entry, or none beside the token counts.
    pub choices: Vec<ChunkChoice>,
    /// Token counts, in the last chunk if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What was done to the model, when the last answer ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steering: Option<Steered>,
}

/// What is new of one answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChunkChoice {
    /// Which answer.
    pub index: usize,
    /// What is new.
    pub delta: Delta,
    /// How likely its tokens were, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Logprobs>,
    /// Why the answer ended, in its last chunk.
    pub finish_reason: Option<&'static str>,
    /// Where in the answer this is; only for requests with `steering`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steering: Option<Place>,
}

/// New text.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Delta {
    /// `assistant`, in the first chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// The text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// Where in an answer a chunk is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Place {
    /// Delivered tokens of this answer before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_index: Option<usize>,
    /// Tokens that it delivers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
    /// What is taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retract: Option<Retract>,
}

/// What is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Retract {
    /// Every chunk of this answer with this `token_index` or a larger one.
    pub from: usize,
    /// The attempt that follows; left out where none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The watch that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch: Option<String>,
}
