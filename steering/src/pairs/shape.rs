//! The shapes of records, and the items each holds.
//!
//! Further fields are ignored: public data carries sources, scores and ids. A shape is what the first record's fields say
//! and stays; what a field holds (a text, or messages) may differ from record to record.

use super::error::PairError;
use super::group::spoken;
use super::records::{Record, kind};
use super::transcript;
use super::{Class, Item, Sides};
use serde_json::{Map, Value};
use trimtab_runtime::text::{Message, ROLES};

/// What the records of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `prompt`, `chosen`, `rejected`: texts, or messages. Answers that are messages may repeat the prompt, as in
    /// UltraFeedback.
    Preference,
    /// `chosen`, `rejected` without `prompt`: Anthropic's transcripts, or whole conversations.
    Transcript,
    /// `question` and two answers, as in Anthropic's model-written evaluations and CAA.
    Choice,
    /// `positive`, `negative`: two prompts; `group`, if there is one, says what they are about.
    Prompts,
    /// `text`, `label`.
    Labelled,
    /// repeng's recipe: `template` with `{persona}`, `positive_personas`, `negative_personas`, and `suffixes` with
    /// which the answer begins. Every suffix is paired under every two personas that stand at the same place.
    Contrast,
    /// BIG-bench: `examples` of `input` and `target_scores`; the best answer against each that scores less.
    Scored,
}

/// Shapes in the order they are tried, with the fields that decide.
const SHAPES: [(Shape, &[&str]); 7] = [
    (Shape::Preference, &["prompt", "chosen", "rejected"]),
    (Shape::Transcript, &["chosen", "rejected"]),
    (Shape::Choice, &["question", "answer_matching_behavior", "answer_not_matching_behavior"]),
    (Shape::Prompts, &["positive", "negative"]),
    (Shape::Labelled, &["text", "label"]),
    (Shape::Contrast, &["template", "positive_personas", "negative_personas"]),
    (Shape::Scored, &["examples"]),
];

/// Whether a field is one that decides about a shape.
pub(super) fn decides(field: &str) -> bool {
    SHAPES.iter().any(|(_, fields)| fields.contains(&field))
}

/// Takes items, or the reason why a record has none; an error ends the reading.
pub(super) type Sink<'a> = &'a mut dyn FnMut(Result<Item, PairError>) -> Result<(), PairError>;

impl Shape {
    /// The fields that decide, for people.
    pub fn fields(self) -> &'static str {
        match self {
            Shape::Preference => "prompt, chosen and rejected",
            Shape::Transcript => "chosen and rejected",
            Shape::Choice => "question, answer_matching_behavior and answer_not_matching_behavior",
            Shape::Prompts => "positive and negative",
            Shape::Labelled => "text and label",
            Shape::Contrast => "template, positive_personas, negative_personas and suffixes",
            Shape::Scored => "examples with input and target_scores",
        }
    }

    /// What is set against what, in the names of the fields.
    pub fn contrast(self) -> &'static str {
        match self {
            Shape::Preference | Shape::Transcript => "chosen against rejected",
            Shape::Choice => "answer_matching_behavior against answer_not_matching_behavior",
            Shape::Prompts => "positive against negative prompts",
            Shape::Labelled => "positive against negative texts",
            Shape::Contrast => "positive against negative personas",
            Shape::Scored => "best against other answers",
        }
    }

    pub(super) fn of(record: &Record) -> Result<Shape, PairError> {
        let has = |fields: &[&str]| fields.iter().all(|field| record.fields.contains_key(*field));
        let known = SHAPES.iter().find(|(_, fields)| has(fields)).map(|(shape, _)| *shape);
        known.ok_or_else(|| {
            let found: Vec<&str> = record.fields.keys().map(String::as_str).take(12).collect();
            let known: Vec<&str> = SHAPES.iter().map(|(shape, _)| shape.fields()).collect();
            PairError::UnknownShape {
                line: record.line,
                found: found.join(", "),
                known: known.join("; "),
            }
        })
    }

    /// The items of a record.
    pub(super) fn items(self, record: &Record, sink: Sink) -> Result<(), PairError> {
        let fields = Fields { line: record.line, map: &record.fields, shape: self, within: "" };
        match self {
            Shape::Preference | Shape::Transcript => sink(preference(&fields)),
            Shape::Choice => choice(&fields, sink),
            Shape::Prompts => sink(prompts(&fields)),
            Shape::Labelled => sink(labelled(&fields)),
            Shape::Contrast => contrast(&fields, sink),
            Shape::Scored => scored(&fields, sink),
        }
    }
}

/// A record's fields, each taken with an error that names line and field.
struct Fields<'a> {
    line: usize,
    map: &'a Map<String, Value>,
    shape: Shape,
    /// Where in the record, for errors; empty at its top.
    within: &'static str,
}

impl<'a> Fields<'a> {
    fn name(&self, field: &str) -> String {
        format!("{}{field}", self.within)
    }

    fn value(&self, field: &str) -> Result<&'a Value, PairError> {
        let missing = || {
            let shape = self.shape.fields();
            PairError::Missing { line: self.line, field: self.name(field), shape }
        };
        self.map.get(field).ok_or_else(missing)
    }

    fn wrong(&self, field: &str, found: &Value, expected: &'static str) -> PairError {
        let (line, field, found) = (self.line, self.name(field), kind(found));
        PairError::WrongType { line, field, found, expected }
    }

    fn filled(&self, field: &str, text: &str) -> Result<String, PairError> {
        if text.trim().is_empty() {
            return Err(PairError::EmptyText { line: self.line, field: self.name(field) });
        }
        Ok(text.to_owned())
    }

    fn text(&self, field: &str) -> Result<String, PairError> {
        match self.value(field)? {
            Value::String(text) => self.filled(field, text),
            other => Err(self.wrong(field, other, "a text")),
        }
    }

    fn list(&self, field: &str) -> Result<&'a Vec<Value>, PairError> {
        let value = self.value(field)?;
        value.as_array().ok_or_else(|| self.wrong(field, value, "a list"))
    }

    /// A list of texts; some may be empty where `empty` allows it.
    fn texts(&self, field: &str, empty: Blank) -> Result<Vec<String>, PairError> {
        let text = |value: &Value| match value {
            Value::String(text) if empty == Blank::Allowed => Ok(text.clone()),
            Value::String(text) => self.filled(field, text),
            other => Err(self.wrong(field, other, "a list of texts")),
        };
        self.list(field)?.iter().map(text).collect()
    }

    /// A conversation: messages, or a text that is the user's only message.
    fn talk(&self, field: &str) -> Result<Vec<Message>, PairError> {
        match self.value(field)? {
            Value::String(text) => Ok(vec![Message::new("user", self.filled(field, text)?)]),
            Value::Array(list) if !list.is_empty() => {
                list.iter().map(|value| self.message(field, value)).collect()
            }
            other => Err(self.wrong(field, other, "a text, or a list of messages")),
        }
    }

    /// A message as chat APIs write it, or with `from` and `value` as ShareGPT does.
    fn message(&self, field: &str, value: &Value) -> Result<Message, PairError> {
        const FORM: &str = "a list of messages with role and content";
        let part = |name: &str, other: &str| value.get(name).or_else(|| value.get(other));
        let role = part("role", "from").and_then(Value::as_str);
        let content = part("content", "value").and_then(content);
        let (Some(role), Some(content)) = (role, content) else {
            return Err(self.wrong(field, value, FORM));
        };
        let role = match role {
            "human" => "user",
            "gpt" => "assistant",
            role => role,
        };
        let content = content.as_str();
        if !ROLES.contains(&role) {
            let problem = format!("has a message of role {role:?}, expected {}", ROLES.join(", "));
            return Err(PairError::Field { line: self.line, field: self.name(field), problem });
        }
        Ok(Message::new(role, self.filled(field, content)?))
    }

    fn item(&self, group: String, sides: Sides) -> Item {
        Item { line: self.line, group, sides }
    }
}

/// The text of a message: one text, or a list of parts that are all text.
fn content(value: &Value) -> Option<String> {
    let part = |part: &Value| {
        let is_text = part.get("type").is_none_or(|kind| kind == "text");
        part.get("text").and_then(Value::as_str).filter(|_| is_text).map(str::to_owned)
    };
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => parts.iter().map(part).collect(),
        _ => None,
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Blank {
    Allowed,
    Refused,
}

fn preference(fields: &Fields) -> Result<Item, PairError> {
    let (before, chosen) = answer(fields, "chosen")?;
    let (other, rejected) = answer(fields, "rejected")?;
    if before != other {
        let line = fields.line;
        return Err(PairError::PromptsDiffer { line, first: "chosen", second: "rejected" });
    }
    let (mut chosen, mut rejected) = (chosen, rejected);
    let prompt = match (fields.shape, before.is_empty()) {
        (Shape::Preference, true) => match fields.value("prompt")? {
            Value::String(text) if transcript::is_transcript(text) => {
                // What follows "Assistant:" there begins with a space.
                (chosen, rejected) = (chosen.trim().to_owned(), rejected.trim().to_owned());
                transcript::prompt(text, fields.line, "prompt")?
            }
            _ => fields.talk("prompt")?,
        },
        // Conversations that repeat the prompt are the longer telling of it.
        _ => before,
    };
    if prompt.is_empty() {
        let problem = "has no turn before its answer, and there is no field prompt".to_owned();
        let field = "chosen".to_owned();
        return Err(PairError::Field { line: fields.line, field, problem });
    }
    Ok(fields.item(spoken(&prompt), Sides::Answers { prompt, chosen, rejected }))
}

/// An answer, and the conversation before it where the field tells one.
fn answer(fields: &Fields, field: &'static str) -> Result<(Vec<Message>, String), PairError> {
    match fields.value(field)? {
        Value::String(text) if transcript::is_transcript(text) => {
            let (before, answer) = transcript::turns(text, fields.line, field)?;
            Ok((before, fields.filled(field, &answer)?))
        }
        Value::String(text) => Ok((Vec::new(), fields.filled(field, text)?)),
        one @ Value::Object(_) => match fields.message(field, one)? {
            last if last.role == "assistant" => Ok((Vec::new(), last.content)),
            other => {
                let problem = format!("is a message of role {}, expected assistant", other.role);
                Err(PairError::Field { line: fields.line, field: field.to_owned(), problem })
            }
        },
        _ => {
            let mut messages = fields.talk(field)?;
            match messages.pop() {
                Some(last) if last.role == "assistant" => Ok((messages, last.content)),
                _ => {
                    let problem =
                        "does not end with a message of role assistant, which is the answer"
                            .to_owned();
                    Err(PairError::Field { line: fields.line, field: field.to_owned(), problem })
                }
            }
        }
    }
}

/// An answer against another, or against each of several.
fn choice(fields: &Fields, sink: Sink) -> Result<(), PairError> {
    const OTHERS: &str = "answer_not_matching_behavior";
    let question = fields.text("question")?;
    let chosen = fields.text("answer_matching_behavior")?.trim().to_owned();
    let others = match fields.value(OTHERS)? {
        Value::Array(list) if !list.is_empty() => fields.texts(OTHERS, Blank::Refused)?,
        _ => vec![fields.text(OTHERS)?],
    };
    for other in others {
        let (chosen, rejected) = (chosen.clone(), other.trim().to_owned());
        let prompt = vec![Message::new("user", question.clone())];
        let sides = Sides::Answers { prompt, chosen, rejected };
        sink(Ok(fields.item(question.clone(), sides)))?;
    }
    Ok(())
}

fn prompts(fields: &Fields) -> Result<Item, PairError> {
    let (positive, negative) = (fields.talk("positive")?, fields.talk("negative")?);
    // Empty until all pairs are known.
    let group = match fields.map.contains_key("group") {
        true => fields.text("group")?,
        false => String::new(),
    };
    Ok(fields.item(group, Sides::Prompts { positive, negative }))
}

fn labelled(fields: &Fields) -> Result<Item, PairError> {
    let text = fields.text("text")?;
    let value = fields.value("label")?;
    let number = |n: &serde_json::Number| n.as_i64();
    let label = match value {
        Value::String(word) => match word.trim().to_lowercase().as_str() {
            "positive" | "1" | "+1" | "true" => Some(Class::Positive),
            "negative" | "0" | "-1" | "false" => Some(Class::Negative),
            _ => None,
        },
        Value::Bool(yes) => Some(if *yes { Class::Positive } else { Class::Negative }),
        Value::Number(n) if number(n) == Some(1) => Some(Class::Positive),
        Value::Number(n) if matches!(number(n), Some(0 | -1)) => Some(Class::Negative),
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let label = label.ok_or_else(|| {
        let problem = format!("is {value}, expected positive or negative, true or false, 1 or 0");
        PairError::Field { line: fields.line, field: "label".to_owned(), problem }
    })?;
    Ok(fields.item(text.clone(), Sides::Labelled { label, text }))
}

fn contrast(fields: &Fields, sink: Sink) -> Result<(), PairError> {
    const PLACE: &str = "{persona}";
    let template = fields.text("template")?;
    let positive = fields.texts("positive_personas", Blank::Refused)?;
    let negative = fields.texts("negative_personas", Blank::Refused)?;
    let suffixes = match fields.map.contains_key("suffixes") {
        true => fields.texts("suffixes", Blank::Allowed)?,
        false => vec![String::new()],
    };
    let refuse = |field: &str, problem: String| {
        Err(PairError::Field { line: fields.line, field: field.to_owned(), problem })
    };
    if !template.contains(PLACE) {
        return refuse("template", format!("does not contain {PLACE}"));
    }
    if positive.len() != negative.len() {
        let problem =
            format!("has {} entries, positive_personas has {}", negative.len(), positive.len());
        return refuse("negative_personas", problem);
    }
    let talk = |persona: &str, suffix: &str| {
        let mut talk = vec![Message::new("user", template.replace(PLACE, persona))];
        if !suffix.is_empty() {
            talk.push(Message::new("assistant", suffix));
        }
        talk
    };
    for suffix in &suffixes {
        for (positive, negative) in positive.iter().zip(&negative) {
            // Without anything said, a persona is all there is to tell items apart by.
            let group = match suffix.is_empty() {
                true => format!("{positive}\n{negative}"),
                false => suffix.clone(),
            };
            let (positive, negative) = (talk(positive, suffix), talk(negative, suffix));
            let sides = Sides::Prompts { positive, negative };
            sink(Ok(fields.item(group, sides)))?;
        }
    }
    Ok(())
}

fn scored(fields: &Fields, sink: Sink) -> Result<(), PairError> {
    for value in fields.list("examples")? {
        let Value::Object(map) = value else {
            return Err(fields.wrong("examples", value, "a list of objects"));
        };
        let one = Fields { line: fields.line, map, shape: Shape::Scored, within: "examples." };
        let question = match one.text("input") {
            Ok(question) => question,
            Err(flaw) => {
                sink(Err(flaw))?;
                continue;
            }
        };
        let scores = one.value("target_scores")?;
        let Value::Object(scores) = scores else {
            return Err(one.wrong("target_scores", scores, "an object of answers and scores"));
        };
        compared(&one, &question, scores, sink)?;
    }
    Ok(())
}

/// The best answer to a question against each that scores less.
fn compared(
    one: &Fields,
    question: &str,
    scores: &Map<String, Value>,
    sink: Sink,
) -> Result<(), PairError> {
    const FIELD: &str = "target_scores";
    let number = |(answer, score): (&'_ String, &Value)| {
        let number = score.as_f64().ok_or_else(|| one.wrong(FIELD, score, "an object of numbers"));
        number.map(|number| (answer.clone(), number))
    };
    let scores: Vec<(String, f64)> = scores.iter().map(number).collect::<Result<_, PairError>>()?;
    let best = scores.iter().map(|(_, score)| *score).fold(f64::NEG_INFINITY, f64::max);
    let worse: Vec<&String> =
        scores.iter().filter(|(_, score)| *score < best).map(|(answer, _)| answer).collect();
    let chosen = scores.iter().find(|(_, score)| *score == best).map(|(answer, _)| answer);
    let (Some(chosen), false) = (chosen, worse.is_empty()) else {
        return sink(Err(PairError::NoWorse { line: one.line }));
    };
    for rejected in worse {
        let answers = one.filled(FIELD, chosen).and_then(|c| Ok((c, one.filled(FIELD, rejected)?)));
        sink(answers.map(|(chosen, rejected)| {
            let prompt = vec![Message::new("user", question)];
            one.item(question.to_owned(), Sides::Answers { prompt, chosen, rejected })
        }))?;
    }
    Ok(())
}
