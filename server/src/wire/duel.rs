//! `/v1/duels`: two answers, and which of them is better.

use super::chat::{ChatRequest, Said, Usage};
use super::receipt::ReplayableReceipt;
use super::rest::Rest;
use crate::error::ApiError;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use trimtab_adapters::host::DuelVote;
use trimtab_adapters::tpop::SecondRule;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// A conversation that wants two answers: a chat body without `n` and `stream`, with `steering.adapt` on an adapter of
/// `tpop`.
#[derive(Debug, Clone, ToSchema)]
pub struct DuelBody {
    /// The conversation.
    #[schema(inline = false)]
    pub chat: ChatRequest,
    /// How the second answer is chosen: `ucb`, `thompson`, `runner_up` or `random`; as the adapter says if left out.
    #[schema(value_type = Option<String>)]
    pub second: Option<SecondRule>,
}

/// The field of a duel that a chat does not have.
const SECOND: &str = "second";

impl<'de> Deserialize<'de> for DuelBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut chat = ChatRequest::deserialize(deserializer)?;
        let second = second(&mut chat.rest).map_err(Error::custom)?;
        Ok(DuelBody { chat, second })
    }
}

fn second(rest: &mut Rest) -> Result<Option<SecondRule>, String> {
    match rest.remove(SECOND) {
        None => Ok(None),
        Some(word) => serde_json::from_value(word)
            .map_err(|error| format!("second is none of the rules: {error}")),
    }
}

impl DuelBody {
    /// The conversation, if it wants what a duel can give.
    pub(crate) fn plain(self) -> Result<(ChatRequest, Option<SecondRule>), ApiError> {
        let DuelBody { chat, second } = self;
        let refuse = |name, why| Err(ApiError::unsupported(name, why));
        if chat.n.is_some_and(|n| n != 1) {
            return refuse("n", "a duel has the answers that it needs; leave it out");
        }
        if chat.stream == Some(true) {
            return refuse("stream", "a duel is shown whole; leave it out");
        }
        if chat.logprobs == Some(true) {
            return refuse("logprobs", "they would tell which answer is which; leave it out");
        }
        Ok((chat, second))
    }
}

/// A duel: two answers in the order in which they are to be shown, or one if there was nothing to ask.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DuelObject {
    /// `duel`.
    pub object: &'static str,
    /// Names it.
    pub id: String,
    /// `open`, or `closed` where nothing is asked, or it has been decided, or it is too old.
    pub status: &'static str,
    /// Unix seconds after which a choice is refused.
    pub expires: i64,
    /// The adapter that asks.
    pub adapter: DuelAdapter,
    /// The answers.
    pub choices: Vec<DuelChoice>,
    /// The probability of this order.
    pub order_propensity: f64,
    /// What was chosen, if anything: `0`, `1`, `tie`, `skip` or `both_bad`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// Token counts; only where the answers have just been made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What was done to the model, answer by answer.
    pub steering: DuelReceipts,
}

/// The adapter of a duel.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DuelAdapter {
    /// Its name.
    pub id: String,
    /// The version that chose.
    pub version: u32,
}

/// One answer of a duel.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DuelChoice {
    /// From 0.
    pub index: usize,
    /// The id of the answer, for feedback.
    pub response: String,
    /// The answer; null where its words are not kept any more.
    pub message: Option<Said>,
    /// Why it ended; only where it has just been made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<&'static str>,
    /// `best`, or the rule that chose it.
    pub arm: String,
    /// The setting, in a duel of settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// The probability with which the rule chose it.
    pub propensity: f64,
}

/// What was done to the model, answer by answer.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct DuelReceipts {
    /// In the order of the answers; none where they are not kept any more.
    pub choices: Vec<ReplayableReceipt>,
}

/// `POST /v1/duels/{id}/choice`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChoiceBody {
    /// 0 or 1, `tie`, `skip` or `both_bad`.
    pub choice: Vote,
}

/// What a user says of a duel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote(pub DuelVote);

impl<'de> Deserialize<'de> for Vote {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl Visitor<'_> for Shape {
            type Value = Vote;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("0, 1, tie, skip or both_bad")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Vote, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Vote, E> {
                let all = [
                    DuelVote::Left,
                    DuelVote::Right,
                    DuelVote::Tie,
                    DuelVote::Skip,
                    DuelVote::BothBad,
                ];
                let vote = all.into_iter().find(|vote| vote.as_str() == word);
                let unexpected = serde::de::Unexpected::Str(word);
                vote.map(Vote).ok_or_else(|| Error::invalid_value(unexpected, &self))
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

impl PartialSchema for Vote {
    fn schema() -> RefOr<Schema> {
        let types = [Type::Integer, Type::String];
        Object::builder()
            .schema_type(utoipa::openapi::schema::SchemaType::from_iter(types))
            .build()
            .into()
    }
}

impl ToSchema for Vote {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_are_few() {
        let read = |text: &str| super::super::read::<ChoiceBody>(text.as_bytes());
        for (text, vote) in [
            (r#"{"choice":0}"#, DuelVote::Left),
            (r#"{"choice":1}"#, DuelVote::Right),
            (r#"{"choice":"1"}"#, DuelVote::Right),
            (r#"{"choice":"tie"}"#, DuelVote::Tie),
            (r#"{"choice":"both_bad"}"#, DuelVote::BothBad),
        ] {
            assert_eq!(read(text).unwrap().choice, Vote(vote), "{text}");
        }
        for text in
            [r#"{"choice":2}"#, r#"{"choice":-1}"#, r#"{"choice":"left"}"#, r#"{"choice":null}"#]
        {
            assert_eq!(read(text).unwrap_err().param.as_deref(), Some("choice"), "{text}");
        }
    }

    #[test]
    fn a_duel_takes_a_chat_and_a_rule() {
        let read = |more: &str| {
            let text = format!(r#"{{"model":"m","messages":[]{more}}}"#);
            super::super::read::<DuelBody>(text.as_bytes()).and_then(DuelBody::plain)
        };
        assert_eq!(read("").unwrap().1, None);
        assert_eq!(read(r#","second":"thompson""#).unwrap().1, Some(SecondRule::Thompson));
        for (more, param) in [
            (r#","n":2"#, Some("n")),
            (r#","stream":true"#, Some("stream")),
            (r#","logprobs":true"#, Some("logprobs")),
            (r#","second":"best""#, None),
        ] {
            let refusal = read(more).unwrap_err();
            assert_eq!((refusal.status.as_u16(), refusal.param.as_deref()), (400, param), "{more}");
        }
    }
}
