//! `POST /v1/feedback`: what is said of answers, in our form and in those that people send elsewhere.

use super::chat::ChatMessage;
use super::union::any_of;
use crate::error::ApiError;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use trimtab_adapters::host::{AnswerRef, Remark, Thumb};
use utoipa::openapi::schema::{Object, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// What is said of an answer. Five forms: a remark about a kept answer (`response`, and one of `reward`, `thumb`, `text` and
/// `edited`); a preference between two (`preferred`, `rejected`); and the same two about texts from elsewhere, which have a
/// `prompt` or `messages` and name the `adapter`.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedbackBody {
    /// The id of the response; beside `prompt`, the text of an answer.
    pub response: Option<String>,
    /// Which of its answers; the first unless it says so.
    pub choice: Option<usize>,
    /// From -1 to 1.
    #[schema(minimum = -1, maximum = 1)]
    pub reward: Option<f64>,
    /// From 0 to 1; 1 if it is left out.
    #[schema(minimum = 0, maximum = 1)]
    pub confidence: Option<f64>,
    /// The tokens of the answer that the reward is about: from the first, up to the second.
    pub span: Option<[usize; 2]>,
    /// `up` is a reward of 1, `down` one of -1.
    pub thumb: Option<ThumbWord>,
    /// What the user said next. A table of phrases gives the reward; what is not in it teaches nothing.
    pub text: Option<String>,
    /// Another name of `text`.
    pub critique: Option<String>,
    /// The answer as the user rewrote it.
    pub edited: Option<String>,
    /// The better of two answers.
    pub preferred: Option<AnswerName>,
    /// The worse of two answers; a text beside `prompt`.
    pub rejected: Option<Rejected>,
    /// What was asked elsewhere.
    pub prompt: Option<String>,
    /// What was asked elsewhere, as a conversation.
    pub messages: Option<Vec<ChatMessage>>,
    /// Another name of the text in `response`.
    pub completion: Option<String>,
    /// The text of the better answer.
    pub winner: Option<String>,
    /// Another name of `winner`.
    pub chosen: Option<String>,
    /// The text of the worse answer; `rejected` is another name.
    pub loser: Option<String>,
    /// The adapter that is to learn from a text from elsewhere.
    pub adapter: Option<String>,
    /// `false` answers at once with the status `queued`.
    pub wait: Option<bool>,
}

/// A thumb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThumbWord {
    /// Right.
    Up,
    /// Wrong.
    Down,
}

/// One answer of a response.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerName {
    /// The id of the response.
    pub response: String,
    /// Which of its answers; the first unless it says so.
    #[serde(default)]
    pub choice: Option<usize>,
}

/// The worse of two answers: one that is kept, or a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// One that is kept.
    Answer(AnswerName),
    /// A text.
    Text(String),
}

/// A body of which the form is known.
#[derive(Debug, Clone)]
pub(crate) enum Feedback {
    /// A remark about an answer that is kept.
    Remark(AnswerRef, Said),
    /// Two answers that are kept, the better one first.
    Preference(AnswerRef, AnswerRef),
    /// A remark about a text from elsewhere.
    ForeignRemark(Elsewhere, String, Said),
    /// Two texts from elsewhere, the better one first.
    ForeignPreference(Elsewhere, [String; 2]),
}

/// What was asked elsewhere, and which adapter is to learn from it.
#[derive(Debug, Clone)]
pub(crate) struct Elsewhere {
    pub(crate) adapter: String,
    pub(crate) asked: Question,
}

/// What was asked elsewhere.
#[derive(Debug, Clone)]
pub(crate) enum Question {
    Prompt(String),
    Messages(Vec<ChatMessage>),
}

/// What is said of one answer, texts not yet in tokens.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    Remark(Remark),
    Edited(String),
}

/// A field of the body and what it says.
type Given<T> = (&'static str, T);

impl FeedbackBody {
    /// Whether the answer waits for the lesson.
    pub(crate) fn waits(&self) -> bool {
        self.wait.unwrap_or(true)
    }

    /// Which form it has. A field that belongs to another form is refused.
    pub(crate) fn form(self) -> Result<Feedback, ApiError> {
        let elsewhere = self.prompt.is_some() || self.messages.is_some();
        let two = [
            self.preferred.is_some(),
            self.winner.is_some() || self.chosen.is_some(),
            self.loser.is_some() || self.rejected.is_some(),
        ];
        match (elsewhere, two.contains(&true)) {
            (false, false) => self.remark(),
            (false, true) => self.preference(),
            (true, false) => self.foreign_remark(),
            (true, true) => self.foreign_preference(),
        }
    }

    fn remark(mut self) -> Result<Feedback, ApiError> {
        self.strays(&[
            ("completion", self.completion.is_some()),
            ("adapter", self.adapter.is_some()),
        ])?;
        let response = needed(self.response.take(), "response")?;
        let answer = AnswerRef { response, choice: self.choice.unwrap_or(0) };
        Ok(Feedback::Remark(answer, self.said()?))
    }

    fn preference(self) -> Result<Feedback, ApiError> {
        self.says_nothing()?;
        self.strays(&[
            ("response", self.response.is_some()),
            ("choice", self.choice.is_some()),
            ("completion", self.completion.is_some()),
            ("adapter", self.adapter.is_some()),
            ("winner", self.winner.is_some()),
            ("chosen", self.chosen.is_some()),
            ("loser", self.loser.is_some()),
        ])?;
        let preferred = needed(self.preferred, "preferred")?;
        match needed(self.rejected, "rejected")? {
            Rejected::Answer(rejected) => {
                let [preferred, rejected] = [preferred, rejected].map(AnswerRef::from);
                if preferred == rejected {
                    return Err(ApiError::invalid("rejected", "is the preferred answer"));
                }
                Ok(Feedback::Preference(preferred, rejected))
            }
            Rejected::Text(_) => {
                let problem = "is a text, expected an answer; texts need a prompt beside them";
                Err(ApiError::invalid("rejected", problem))
            }
        }
    }

    fn foreign_remark(mut self) -> Result<Feedback, ApiError> {
        self.strays(&[("choice", self.choice.is_some())])?;
        let texts = [("response", self.response.take()), ("completion", self.completion.take())];
        let (_, text) = needed(one(texts)?, "response")?;
        let elsewhere = self.elsewhere()?;
        Ok(Feedback::ForeignRemark(elsewhere, text, self.said()?))
    }

    fn foreign_preference(mut self) -> Result<Feedback, ApiError> {
        self.says_nothing()?;
        self.strays(&[
            ("response", self.response.is_some()),
            ("choice", self.choice.is_some()),
            ("completion", self.completion.is_some()),
            ("preferred", self.preferred.is_some()),
        ])?;
        let rejected = match self.rejected.take() {
            None => None,
            Some(Rejected::Text(text)) => Some(text),
            Some(Rejected::Answer(_)) => {
                return Err(ApiError::invalid("rejected", "is no text, and the prompt is"));
            }
        };
        let winners = [("winner", self.winner.take()), ("chosen", self.chosen.take())];
        let losers = [("loser", self.loser.take()), ("rejected", rejected)];
        let (_, winner) = needed(one(winners)?, "winner")?;
        let (_, loser) = needed(one(losers)?, "loser")?;
        Ok(Feedback::ForeignPreference(self.elsewhere()?, [winner, loser]))
    }

    fn elsewhere(&mut self) -> Result<Elsewhere, ApiError> {
        let adapter = needed(self.adapter.take(), "adapter")?;
        let asked = match (self.prompt.take(), self.messages.take()) {
            (Some(_), Some(_)) => {
                return Err(ApiError::invalid("messages", "is given beside prompt; give one"));
            }
            (Some(prompt), None) => Question::Prompt(prompt),
            (None, messages) => Question::Messages(messages.unwrap_or_default()),
        };
        Ok(Elsewhere { adapter, asked })
    }

    /// What is said of an answer: exactly one thing.
    fn said(mut self) -> Result<Said, ApiError> {
        let texts = one([("text", self.text.take()), ("critique", self.critique.take())])?;
        let said = [
            self.reward.map(|_| "reward"),
            self.thumb.map(|_| "thumb"),
            texts.as_ref().map(|(name, _)| *name),
            self.edited.as_ref().map(|_| "edited"),
        ];
        let mut said = said.into_iter().flatten();
        let first = said.next();
        if let (Some(first), Some(second)) = (first, said.next()) {
            return Err(ApiError::invalid(second, format!("is given beside {first}; give one")));
        }
        if first != Some("reward") {
            self.strays(&[
                ("confidence", self.confidence.is_some()),
                ("span", self.span.is_some()),
            ])?;
        }
        match (self.reward, self.thumb, texts, self.edited) {
            (Some(reward), ..) => Ok(Said::Remark(Remark::Reward {
                reward: within(reward, "reward", -1.0)?,
                confidence: within(self.confidence.unwrap_or(1.0), "confidence", 0.0)?,
                span: self.span.map(|[from, to]| span(from, to)).transpose()?,
            })),
            (None, Some(ThumbWord::Up), ..) => Ok(Said::Remark(Remark::Thumb(Thumb::Up))),
            (None, Some(ThumbWord::Down), ..) => Ok(Said::Remark(Remark::Thumb(Thumb::Down))),
            (None, None, Some((_, text)), _) => Ok(Said::Remark(Remark::Text(text))),
            (None, None, None, Some(edited)) => Ok(Said::Edited(edited)),
            (None, None, None, None) => {
                let problem = "is missing, and so are thumb, text and edited; say one of them";
                Err(ApiError::invalid("reward", problem))
            }
        }
    }

    /// Refuses a remark beside a preference.
    fn says_nothing(&self) -> Result<(), ApiError> {
        self.strays(&[
            ("reward", self.reward.is_some()),
            ("confidence", self.confidence.is_some()),
            ("span", self.span.is_some()),
            ("thumb", self.thumb.is_some()),
            ("text", self.text.is_some()),
            ("critique", self.critique.is_some()),
            ("edited", self.edited.is_some()),
        ])
    }

    /// Refuses fields of another form.
    fn strays(&self, fields: &[Given<bool>]) -> Result<(), ApiError> {
        match fields.iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((name, _)) => {
                Err(ApiError::invalid(*name, "does not go with the other fields of this body"))
            }
        }
    }
}

fn needed<T>(field: Option<T>, name: &str) -> Result<T, ApiError> {
    field.ok_or_else(|| ApiError::invalid(name, "is missing"))
}

/// The one of two spellings that is given.
fn one<T>(spellings: [Given<Option<T>>; 2]) -> Result<Option<Given<T>>, ApiError> {
    let [(a, first), (b, second)] = spellings;
    match (first, second) {
        (Some(_), Some(_)) => {
            Err(ApiError::invalid(b, format!("is another name of {a}, which is given too")))
        }
        (Some(first), None) => Ok(Some((a, first))),
        (None, second) => Ok(second.map(|second| (b, second))),
    }
}

fn within(number: f64, name: &str, least: f64) -> Result<f64, ApiError> {
    match number >= least && number <= 1.0 {
        true => Ok(number),
        false => Err(ApiError::invalid(name, format!("is {number}, not from {least} to 1"))),
    }
}

fn span(from: usize, to: usize) -> Result<std::ops::Range<usize>, ApiError> {
    match from < to {
        true => Ok(from..to),
        false => {
            let problem = format!("is [{from}, {to}], which holds no token; the end comes second");
            Err(ApiError::invalid("span", problem))
        }
    }
}

impl From<AnswerName> for AnswerRef {
    fn from(name: AnswerName) -> AnswerRef {
        AnswerRef { response: name.response, choice: name.choice.unwrap_or(0) }
    }
}

impl<'de> Deserialize<'de> for Rejected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Rejected;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an answer or a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Rejected, E> {
                Ok(Rejected::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Rejected, A::Error> {
                AnswerName::deserialize(MapAccessDeserializer::new(map)).map(Rejected::Answer)
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

impl PartialSchema for Rejected {
    fn schema() -> RefOr<Schema> {
        let text = Object::builder().schema_type(Type::String).build();
        any_of([text.into(), Ref::from_schema_name("AnswerName").into()])
    }
}

impl ToSchema for Rejected {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((AnswerName::name().into(), AnswerName::schema()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Feedback, ApiError> {
        super::super::read::<FeedbackBody>(text.as_bytes())?.form()
    }

    #[test]
    fn each_form_is_told_from_the_others() {
        use Feedback::{ForeignPreference, ForeignRemark, Preference, Remark};
        let own = |text: &str| read(text).unwrap();
        for text in [
            r#"{"response":"r","reward":-1.0,"span":[1,3],"confidence":0.9}"#,
            r#"{"response":"r","thumb":"down"}"#,
            r#"{"response":"r","text":"no, shorter"}"#,
            r#"{"response":"r","choice":1,"edited":"so"}"#,
        ] {
            assert!(matches!(own(text), Remark(..)), "{text}");
        }
        let pair = r#"{"preferred":{"response":"r"},"rejected":{"response":"r","choice":1}}"#;
        assert!(matches!(own(pair), Preference(..)));
        let critique =
            r#"{"prompt":"why?","response":"so","critique":"that is wrong","adapter":"a"}"#;
        assert!(matches!(own(critique), ForeignRemark(_, text, _) if text == "so"));
        for text in [
            r#"{"prompt":"why?","winner":"so","loser":"no","adapter":"a"}"#,
            r#"{"messages":[{"role":"user","content":"why?"}],"chosen":"so","rejected":"no","adapter":"a"}"#,
        ] {
            let ForeignPreference(_, texts) = own(text) else { panic!("{text}") };
            assert_eq!(texts, ["so", "no"]);
        }
    }

    #[test]
    fn what_is_no_feedback_is_refused_at_its_field() {
        for (text, param) in [
            ("{}", "response"),
            (r#"{"response":"r"}"#, "reward"),
            (r#"{"response":"r","reward":1.01}"#, "reward"),
            (r#"{"response":"r","reward":-2}"#, "reward"),
            (r#"{"response":"r","reward":1,"confidence":2}"#, "confidence"),
            (r#"{"response":"r","reward":1,"span":[3,3]}"#, "span"),
            (r#"{"response":"r","reward":1,"span":[9,3]}"#, "span"),
            (r#"{"response":"r","reward":1,"span":[-1,3]}"#, "span[0]"),
            (r#"{"response":"r","reward":1,"thumb":"up"}"#, "thumb"),
            (r#"{"response":"r","thumb":"sideways"}"#, "thumb"),
            (r#"{"response":"r","text":"x","critique":"y"}"#, "critique"),
            (r#"{"response":"r","thumb":"up","span":[0,1]}"#, "span"),
            (r#"{"response":"r","thumb":"up","adapter":"a"}"#, "adapter"),
            (r#"{"response":"r","thum":"up"}"#, "thum"),
            (r#"{"preferred":{"response":"r"}}"#, "rejected"),
            (r#"{"preferred":{"response":"r"},"rejected":{"response":"r"}}"#, "rejected"),
            (r#"{"preferred":{"response":"r"},"rejected":"no"}"#, "rejected"),
            (r#"{"prompt":"q","winner":"a","loser":"b"}"#, "adapter"),
            (r#"{"prompt":"q","winner":"a","chosen":"b","loser":"c","adapter":"a"}"#, "chosen"),
            (r#"{"prompt":"q","response":"a","adapter":"a"}"#, "reward"),
            (r#"{"prompt":"q","winner":"a","loser":"b","reward":1,"adapter":"a"}"#, "reward"),
        ] {
            let refusal = read(text).map(|form| panic!("{text}: {form:?}")).unwrap_err();
            assert_eq!(refusal.status, 400, "{text}");
            assert_eq!(refusal.param.as_deref(), Some(param), "{text}: {}", refusal.message);
        }
        for number in ["NaN", "Infinity", "1e999"] {
            let text = format!(r#"{{"response":"r","reward":{number}}}"#);
            assert_eq!(read(&text).unwrap_err().status, 400, "{text}");
        }
    }
}
