//! The fields that both generating routes share: how tokens are chosen, how answers come, and what steers them.
//!
//! A macro writes them into both bodies. A flattened struct would be read from a copy that has lost its place, and errors
//! name the field.

use super::rest::Rest;
use super::steering::Steering;
use super::union::Texts;
use serde::Deserialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What a stream holds.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct StreamOptions {
    /// Whether a last chunk brings the token counts.
    pub include_usage: Option<bool>,
    /// Everything else: names only.
    #[serde(flatten)]
    #[schema(ignore)]
    pub rest: Rest,
}

/// The answer's format.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct ResponseFormat {
    /// Only `text` is supported.
    #[serde(rename = "type")]
    pub kind: String,
    /// Everything else: names only.
    #[serde(flatten)]
    #[schema(ignore)]
    pub rest: Rest,
}

/// A body of a generating route.
pub(crate) trait GenerationBody {
    /// Takes the shared fields out of it.
    fn shared(&mut self) -> GenerationFields;
}

/// A body of a generating route: fields of its own, and the shared ones.
macro_rules! generation_body {
    ($(#[$meta:meta])* pub struct $name:ident { $($own:tt)* }) => {
        $(#[$meta])*
        pub struct $name {
            $($own)*
            /// A served model, its alias, or `model@preset`.
            pub model: String,
            /// The most tokens of an answer; as many as the context holds, if left out or -1.
            #[schema(minimum = -1)]
            pub max_tokens: Option<i64>,
            /// 0 takes the most likely token.
            #[schema(minimum = 0, maximum = 100)]
            pub temperature: Option<f32>,
            /// Keeps the fewest tokens whose probabilities sum to this.
            #[schema(minimum = 0, maximum = 1)]
            pub top_p: Option<f32>,
            /// Keeps the k most likely tokens; 0 and -1 keep all.
            #[schema(minimum = -1)]
            pub top_k: Option<i64>,
            /// Keeps tokens at least this likely relative to the most likely one.
            #[schema(minimum = 0, maximum = 1)]
            pub min_p: Option<f32>,
            /// Divides what was used before; 1 is none.
            pub repeat_penalty: Option<f32>,
            /// Subtracted once from what the answer has used.
            #[schema(minimum = -2, maximum = 2)]
            pub presence_penalty: Option<f32>,
            /// Subtracted from what the answer has used, as often as it was.
            #[schema(minimum = -2, maximum = 2)]
            pub frequency_penalty: Option<f32>,
            /// Added to tokens' logits, by token id; -100 to 100.
            pub logit_bias: Option<BTreeMap<String, f32>>,
            /// Texts that end the answer, at most 16.
            pub stop: Option<Texts>,
            /// Keys the draws; one is drawn if it is left out or -1.
            #[schema(minimum = -1)]
            pub seed: Option<i64>,
            /// How many answers.
            #[schema(minimum = 1, maximum = 8)]
            pub n: Option<i64>,
            /// Whether the answer comes in pieces.
            pub stream: Option<bool>,
            /// What the stream holds.
            pub stream_options: Option<StreamOptions>,
            /// Only `text` is supported.
            pub response_format: Option<ResponseFormat>,
            /// Logged as a hash, nothing else.
            pub user: Option<String>,
            /// What is done to the model while it answers.
            pub steering: Option<Steering>,
            /// Everything else: names only.
            #[serde(flatten)]
            #[schema(ignore)]
            pub rest: Rest,
        }

        impl GenerationBody for $name {
            fn shared(&mut self) -> GenerationFields {
                GenerationFields {
                    model: std::mem::take(&mut self.model),
                    max_tokens: self.max_tokens.take(),
                    temperature: self.temperature.take(),
                    top_p: self.top_p.take(),
                    top_k: self.top_k.take(),
                    min_p: self.min_p.take(),
                    repeat_penalty: self.repeat_penalty.take(),
                    presence_penalty: self.presence_penalty.take(),
                    frequency_penalty: self.frequency_penalty.take(),
                    logit_bias: self.logit_bias.take(),
                    stop: self.stop.take(),
                    seed: self.seed.take(),
                    n: self.n.take(),
                    stream: self.stream.take(),
                    stream_options: self.stream_options.take(),
                    response_format: self.response_format.take(),
                    user: self.user.take(),
                    steering: self.steering.take(),
                    rest: std::mem::take(&mut self.rest),
                }
            }
        }
    };
}
pub(super) use generation_body;

generation_body! {
/// The shared fields by themselves.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct GenerationFields {}
}
