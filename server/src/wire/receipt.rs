//! The receipt on the wire: what was done to an answer, and in its full form all that is needed to do it again.

use super::sampling::GenerationFields;
use super::steering::Steering;
use super::union::Texts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trimtab_steering::receipt::Receipt;
use utoipa::ToSchema;

/// What was done to one answer, and in a full receipt how to get it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplayableReceipt {
    /// What was done.
    #[serde(flatten)]
    pub summary: Receipt,
    /// The adapter that it was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<AdapterReceipt>,
    /// In a full receipt: the prompt's tokens, which a template that tells the time would write in another way later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Vec<u32>>,
    /// In a full receipt: a body that asks for the same answer again, whatever the server's defaults are by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Replay>,
}

/// The adapter that an answer was made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AdapterReceipt {
    /// Its name.
    pub id: String,
    /// Its version: that of the answer's beginning.
    pub version: u32,
    /// Whether what is said of the answer may teach.
    pub learn: bool,
    /// Whether a lesson was still being taught when the answer began, and is not in this version.
    pub behind: bool,
    /// What a learner of tastes chose; left out where it chose nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taste: Option<TasteReceipt>,
    /// In a full receipt: the tokens that the adapter changed most, the most changed first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<TokenShift>,
}

/// What a learner of tastes chose.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TasteReceipt {
    /// The setting that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// How many answers were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidates: Option<usize>,
    /// Which of them this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picked: Option<usize>,
}

/// How much more or less likely an adapter made a token of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenShift {
    /// Which token of the answer.
    pub index: usize,
    /// Its text.
    pub token: String,
    /// Its log-probability with the adapter, before temperature.
    pub logprob: f64,
    /// The change of it: positive where the adapter made the token more likely.
    pub shift: f64,
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
    pub add_generation_prompt: Option<bool>,
    /// Whether the answer goes on where the last message ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continue_final_message: Option<bool>,
    /// A text's tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Vec<u32>>,
    /// Whether the prompt is repeated before the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub echo: Option<bool>,
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

impl Replay {
    /// As the fields that both generating routes share.
    pub(crate) fn fields(self) -> GenerationFields {
        // What is too large is refused where the fields are read.
        let whole = |number| i64::try_from(number).unwrap_or(i64::MIN);
        GenerationFields {
            model: self.model,
            max_tokens: self.max_tokens.map(whole),
            temperature: Some(self.temperature),
            top_p: Some(self.top_p),
            top_k: Some(whole(self.top_k)),
            min_p: Some(self.min_p),
            repeat_penalty: self.repeat_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            logit_bias: self.logit_bias,
            stop: Some(Texts(self.stop)),
            seed: Some(whole(self.seed)),
            n: Some(whole(self.n)),
            steering: Some(self.steering),
            ..GenerationFields::default()
        }
    }
}

/// What was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Turn {
    /// Who.
    pub role: String,
    /// What.
    pub content: String,
}
