//! What the fields of public data are called here.
//!
//! Public sets name the same things in many ways. A record's fields get this crate's names before its shape is looked for:
//! those that the caller gives ([`Names`]) first, then those that are known.

use super::error::PairError;
use super::records::{Read, Record};
use crate::error::{Error, Result};
use serde_json::{Map, Value, json};

/// The fields of a file under the names that shapes have for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Ours, and the file's.
    pairs: Vec<(String, String)>,
}

/// Fields that may be named.
const OURS: [&str; 8] =
    ["prompt", "chosen", "rejected", "positive", "negative", "group", "text", "label"];

/// Those that a record may lack.
const OPTIONAL: [&str; 1] = ["group"];

impl Names {
    /// Understands entries such as `prompt=question`.
    ///
    /// # Errors
    /// When an entry has another form, names a field that no shape has, or one twice.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Names> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for entry in entries {
            let wrong = |problem: String| Error::setting("--fields", problem);
            let halves = entry.split_once('=').map(|(ours, theirs)| (ours.trim(), theirs.trim()));
            let Some((ours, theirs)) = halves.filter(|(_, theirs)| !theirs.is_empty()) else {
                return Err(wrong(format!("has {entry:?}, expected such as prompt=question")));
            };
            if !OURS.contains(&ours) {
                return Err(wrong(format!("names {ours:?}, expected one of {}", OURS.join(", "))));
            }
            if pairs.iter().any(|(other, _)| other == ours) {
                return Err(wrong(format!("names {ours} twice")));
            }
            pairs.push((ours.to_owned(), theirs.to_owned()));
        }
        Ok(Names { pairs })
    }

    /// The record under our names. A field that is named must be there, if not every shape can do without it.
    pub(super) fn apply(&self, record: Record) -> Read {
        let Record { line, mut fields } = record;
        let mut taken: Vec<(&String, Value)> = Vec::new();
        for (ours, theirs) in &self.pairs {
            match take(&mut fields, theirs) {
                Some(value) => taken.push((ours, value)),
                None if OPTIONAL.contains(&ours.as_str()) => {}
                None => {
                    let problem = format!("is not there, and --fields names it as the {ours}");
                    return Err(PairError::Field { line, field: theirs.clone(), problem });
                }
            }
        }
        for (ours, value) in taken {
            fields.insert(ours.clone(), value);
        }
        known(&mut fields);
        Ok(Record { line, fields })
    }
}

/// A field whose name may be written in other letters: those of tables are lower-case.
fn take(fields: &mut Map<String, Value>, name: &str) -> Option<Value> {
    fields.remove(name).or_else(|| fields.remove(&name.to_lowercase()))
}

/// Names of orca's, LlamaFactory's and refusal data's fields.
fn known(fields: &mut Map<String, Value>) {
    let has = |fields: &Map<String, Value>, name: &str| fields.contains_key(name);
    if has(fields, "chosen") && has(fields, "rejected") {
        if !has(fields, "prompt")
            && let Some(prompt) = prompt(fields)
        {
            fields.insert("prompt".to_owned(), prompt);
        }
        with_system(fields);
    }
    if !has(fields, "positive") && has(fields, "harmful") && has(fields, "harmless") {
        for (theirs, ours) in [("harmful", "positive"), ("harmless", "negative")] {
            if let Some(value) = fields.remove(theirs) {
                fields.insert(ours.to_owned(), value);
            }
        }
    }
}

/// The prompt under another name; an instruction is followed by its input.
fn prompt(fields: &Map<String, Value>) -> Option<Value> {
    let field = |name: &str| fields.get(name).filter(|value| !value.is_null());
    let prompt =
        field("question").or_else(|| field("instruction")).or_else(|| field("conversations"))?;
    let input = field("input").and_then(Value::as_str).filter(|input| !input.trim().is_empty());
    match (prompt, input, field("question")) {
        (Value::String(instruction), Some(input), None) => {
            Some(Value::String(format!("{instruction}\n{input}")))
        }
        (prompt, ..) => Some(prompt.clone()),
    }
}

/// Puts a system prompt in a field of its own in front of a prompt that is one text.
fn with_system(fields: &mut Map<String, Value>) {
    let text =
        |name: &str| fields.get(name).and_then(Value::as_str).filter(|t| !t.trim().is_empty());
    let (Some(system), Some(prompt)) = (text("system"), text("prompt")) else { return };
    if super::transcript::is_transcript(prompt) {
        return;
    }
    let talk = json!([
        {"role": "system", "content": system},
        {"role": "user", "content": prompt},
    ]);
    fields.insert("prompt".to_owned(), talk);
}
