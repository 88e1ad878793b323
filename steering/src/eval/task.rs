//! Task files: one JSON object per line, all of one kind.
//!
//! `{prompt}` is answered and judged by a rule; `{prompt, chosen, rejected}` compares how likely two answers are;
//! `{prompt, choices, answer}` is multiple choice; `{prompt, answer}` is matched exactly. A prompt may be called
//! `question`, and may be a list of messages. Fields that are not named here are left alone, because public sets
//! carry many.

use crate::error::{Error, Result};
use crate::file::json;
use serde_json::{Map, Value};
use trimtab_runtime::filetype;
use trimtab_runtime::text::Message;

/// A prompt and what a good answer to it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its line in the file, from 1.
    pub line: usize,
    /// The conversation to answer.
    pub prompt: Vec<Message>,
    /// What a good answer is.
    pub goal: Goal,
}

/// What a good answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// The rule says.
    Rule,
    /// One answer is to be likelier than the other.
    Pair {
        /// The one that is wanted.
        chosen: String,
        /// The other.
        rejected: String,
    },
    /// One of these is right.
    Choice {
        /// The answers.
        choices: Vec<String>,
        /// Which is right, from 0.
        right: usize,
    },
    /// This text, or number, and no other.
    Exact(String),
}

impl Goal {
    /// What the kind is called.
    pub fn kind(&self) -> &'static str {
        match self {
            Goal::Rule => "prompts",
            Goal::Pair { .. } => "pairs",
            Goal::Choice { .. } => "multiple choice",
            Goal::Exact(_) => "exact answers",
        }
    }
}

/// The items of a file, all of one kind and at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    items: Vec<Item>,
    sha256: String,
}

impl Task {
    /// Reads the text of a task file.
    pub fn parse(text: &str) -> Result<Task> {
        let lines = filetype::lines(text).filter(|(_, line)| !line.trim().is_empty());
        let items: Vec<Item> = lines.map(|(at, line)| item(at, line)).collect::<Result<_>>()?;
        let Some(first) = items.first() else {
            return Err(wrong(1, "is missing: the file has no items"));
        };
        let kind = first.goal.kind();
        if let Some(other) = items.iter().find(|item| item.goal.kind() != kind) {
            let problem =
                format!("is of the kind {}, the lines above of {kind}", other.goal.kind());
            return Err(wrong(other.line, problem));
        }
        Ok(Task { items, sha256: crate::file::sha256(text.as_bytes()) })
    }

    /// The items in the order of the file.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Hash of the file's bytes.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// What its items are called.
    pub fn kind(&self) -> &'static str {
        self.items.first().map_or("", |item| item.goal.kind())
    }

    /// The first items of the file, at least one; the hash stays the file's.
    pub fn first(mut self, most: usize) -> Task {
        self.items.truncate(most.max(1));
        self
    }
}

fn wrong(line: usize, problem: impl Into<String>) -> Error {
    Error::Task { line, problem: problem.into() }
}

fn item(line: usize, text: &str) -> Result<Item> {
    let value = json::record(text)
        .map_err(|(problem, _)| wrong(line, format!("is not JSON: {problem}")))?;
    let Value::Object(fields) = value else {
        return Err(wrong(line, "is not a JSON object"));
    };
    Ok(Item { line, prompt: prompt(line, &fields)?, goal: goal(line, &fields)? })
}

fn prompt(line: usize, fields: &Map<String, Value>) -> Result<Vec<Message>> {
    let value = fields.get("prompt").or_else(|| fields.get("question"));
    let messages = match value {
        Some(Value::String(text)) => vec![Message::new("user", text.as_str())],
        Some(Value::Array(list)) => {
            list.iter().map(|value| message(line, value)).collect::<Result<_>>()?
        }
        _ => {
            return Err(wrong(
                line,
                "has no prompt or question that is a text or a list of messages",
            ));
        }
    };
    if messages.iter().all(|message| message.content.trim().is_empty()) {
        return Err(wrong(line, "has an empty prompt"));
    }
    Ok(messages)
}

fn message(line: usize, value: &Value) -> Result<Message> {
    let field = |name: &str| value.get(name).and_then(Value::as_str);
    match (field("role"), field("content")) {
        (Some(role), Some(content)) => Ok(Message::new(role, content)),
        _ => Err(wrong(line, "has a message without a role and a content")),
    }
}

fn goal(line: usize, fields: &Map<String, Value>) -> Result<Goal> {
    match (fields.get("chosen"), fields.get("choices"), fields.get("answer")) {
        (Some(chosen), None, None) => pair(line, chosen, fields.get("rejected")),
        (None, Some(choices), Some(answer)) => choice(line, choices, answer),
        (None, None, Some(answer)) => exact(line, answer),
        (None, None, None) if !fields.contains_key("rejected") => Ok(Goal::Rule),
        _ => Err(wrong(
            line,
            "mixes kinds; expected prompt alone, or with chosen and rejected, choices and answer, or answer",
        )),
    }
}

fn pair(line: usize, chosen: &Value, rejected: Option<&Value>) -> Result<Goal> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    match (text(chosen), rejected.and_then(text)) {
        (Some(chosen), Some(rejected)) if chosen == rejected => {
            Err(wrong(line, "has the same text as chosen and as rejected"))
        }
        (Some(chosen), Some(rejected)) => Ok(Goal::Pair { chosen, rejected }),
        _ => Err(wrong(line, "needs chosen and rejected, two texts that are not empty")),
    }
}

/// Choices and the right one: its number from 0, its letter, or its text.
fn choice(line: usize, choices: &Value, answer: &Value) -> Result<Goal> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let list: Option<Vec<String>> =
        choices.as_array().and_then(|list| list.iter().map(text).collect());
    let Some(choices) = list.filter(|list| list.len() > 1) else {
        return Err(wrong(line, "needs choices, at least two texts that are not empty"));
    };
    let named = |answer: &str| {
        let letter = match answer.as_bytes() {
            [letter] if letter.is_ascii_alphabetic() => {
                Some(usize::from(letter.to_ascii_uppercase() - b'A'))
            }
            _ => None,
        };
        // A choice that is itself a letter is meant by its text.
        choices.iter().position(|choice| choice == answer).or(letter)
    };
    let right = match answer {
        Value::Number(number) => number.as_u64().map(|n| n as usize),
        Value::String(text) => named(text),
        _ => None,
    };
    match right.filter(|right| *right < choices.len()) {
        Some(right) => Ok(Goal::Choice { choices, right }),
        None => Err(wrong(line, "has an answer that is none of its choices")),
    }
}

fn exact(line: usize, answer: &Value) -> Result<Goal> {
    let text = match answer {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err(wrong(line, "has an answer that is neither a text nor a number")),
    };
    // GSM8K writes its working first and the number behind this mark.
    let text = text.rsplit("####").next().unwrap_or_default().trim().to_owned();
    if text.is_empty() {
        return Err(wrong(line, "has an empty answer"));
    }
    Ok(Goal::Exact(text))
}
