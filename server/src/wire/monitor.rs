//! The `monitor` object of a request: what watches an answer, and what is done when it goes wrong.
//!
//! Flat like the rest of `steering`: a watch has the fields of every kind, and which of them belong to its kind is
//! decided where it is resolved, so that a refusal names field and kind.

use super::steering::Vector;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, Object, OneOf, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

/// What watches an answer. An unknown key, at any depth, is an error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Monitor {
    /// One to four watches.
    #[schema(min_items = 1, max_items = 4)]
    pub watch: Vec<Watch>,
    /// Whether one watch that hits is enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub combine: Option<Combine>,
    /// Where an answer is taken up again, and how often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewind: Option<Rewind>,
    /// What is different when it is taken up again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// What becomes of an answer that may not be rewound any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_exhausted: Option<OnExhausted>,
    /// What is said in the place of an answer that is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// When text leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<Stream>,
}

/// One watch. The fields belong to kinds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Which fields count.
    pub kind: WatchKind,
    /// What it is called in receipts; otherwise its vector, or its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is done where it hits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<Then>,
    /// Tokens of the answer before the first check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_tokens: Option<u32>,
    /// Of `probe` and `text`: tokens from check to check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<u32>,
    /// Of `probe` and `coot`: hits in a row that count as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<u32>,
    /// Of `probe`: the registered vector whose class coordinate is read. Of `cue`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<String>,
    /// Of `probe`: where it is read; may be left out for a vector of one site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Of `probe`: hits above this class coordinate: 0 is the mean of the negatives, 1 that of the positives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above: Option<f32>,
    /// Of `probe`: hits below this class coordinate. Not together with `above`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<f32>,
    /// Of `text`: texts that must not come, letter for letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub any: Option<Vec<String>>,
    /// Of `text`: regular expressions that must not match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<Vec<String>>,
    /// Of `coot`: who judges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perceiver: Option<PerceiverKind>,
    /// Of `coot`: a policy by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Of `coot`: what becomes of an answer that cannot be judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// Of `coot`: `"sentence"`, or tokens from check to check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cadence: Option<Cadence>,
    /// Of `coot`: nats around the threshold in which it cannot tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin: Option<f32>,
    /// Of `cue`, which is not built yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// Of `geometry`, which is not built yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<u32>,
    /// Of `geometry`, which is not built yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride: Option<u32>,
    /// Of `geometry`, which is not built yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantile: Option<f32>,
}

/// The kinds of watch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WatchKind {
    /// A direction in the stream.
    #[default]
    Probe,
    /// The letters of the answer.
    Text,
    /// The model's own judgement, under a policy.
    Coot,
    /// Not built yet.
    Cue,
    /// Not built yet.
    Geometry,
}

/// What is done where a watch hits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// The answer is taken up again further up.
    #[default]
    Rewind,
    /// It ends.
    Stop,
    /// It goes on; the receipt says so.
    Report,
}

/// Who judges an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PerceiverKind {
    /// Labels are scored.
    #[default]
    Scorer,
    /// A verdict is written and read.
    Parse,
}

/// What becomes of an answer that cannot be judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// It is not given.
    #[default]
    Mandatory,
    /// It is given and flagged.
    Advisory,
}

/// From check to check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cadence {
    /// At the ends of sentences.
    #[default]
    Sentence,
    /// So many tokens.
    Tokens(u32),
}

/// Whether one watch that hits is enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// It is.
    #[default]
    Any,
    /// All have to hit.
    All,
}

/// Where an answer is taken up again, and how often.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rewind {
    /// By which rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<RewindRule>,
    /// Of `fixed`: so many tokens back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<u32>,
    /// How often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// Tokens that may be taken back in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_discarded: Option<u32>,
    /// Of `sharpness`: what counts as a peak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tau: Option<f32>,
    /// Of `sharpness`: whether the first position is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_sink: Option<bool>,
}

/// By which rule the point is found where an answer is taken up again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RewindRule {
    /// The last point that a check found clean.
    #[default]
    Clean,
    /// The last peak of attention.
    Sharpness,
    /// So many tokens back.
    Fixed,
}

/// What is different when an answer is taken up again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Vectors beside those of the request, from there on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vectors: Option<Vec<Vector>>,
    /// What is said to the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guidance: Option<GuidanceKind>,
}

/// What is said to the model when an answer is taken up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GuidanceKind {
    /// Nothing.
    None,
    /// A note that only the model sees.
    Text,
    /// Not built yet.
    Generated,
    /// The note's meaning, as a push.
    Vector,
}

/// What becomes of an answer that may not be rewound any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExhausted {
    /// It is refused.
    #[default]
    Refuse,
    /// It ends where it was clean.
    Stop,
    /// It goes on, and the receipt says so.
    Keep,
}

/// When text leaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Once it cannot be taken back any more.
    #[default]
    Hold,
    /// At once; chunks may take it back.
    Retract,
}

const SENTENCE: &str = "sentence";

impl Serialize for Cadence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Cadence::Sentence => serializer.serialize_str(SENTENCE),
            Cadence::Tokens(tokens) => serializer.serialize_u32(*tokens),
        }
    }
}

impl<'de> Deserialize<'de> for Cadence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl Visitor<'_> for Shape {
            type Value = Cadence;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("\"sentence\" or a number of tokens")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Cadence, E> {
                match text {
                    SENTENCE => Ok(Cadence::Sentence),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_u64<E: Error>(self, tokens: u64) -> Result<Cadence, E> {
                // A number that is too large for the field is too large for the cadence.
                Ok(Cadence::Tokens(u32::try_from(tokens).unwrap_or(u32::MAX)))
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

impl PartialSchema for Cadence {
    fn schema() -> RefOr<Schema> {
        let word = Object::builder().schema_type(Type::String).enum_values(Some([SENTENCE]));
        let tokens = Object::builder()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
            .minimum(Some(1))
            .maximum(Some(64));
        Schema::OneOf(OneOf::builder().item(word).item(tokens).build()).into()
    }
}

impl ToSchema for Cadence {
    fn name() -> std::borrow::Cow<'static, str> {
        "Cadence".into()
    }
}
