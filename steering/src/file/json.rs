//! JSON of vector files: every key once, every field known, every error with its pointer.
//!
//! Objects with fields of one type each are read by serde ([`Node::read`]); the others are taken apart by hand.

use crate::error::{Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use trimtab_runtime::json::{self, JsonError, JsonErrorKind, JsonLimits};

pub use trimtab_runtime::json::without_position as said;

/// The numbers of a file are f32.
const LIMITS: JsonLimits = JsonLimits { largest: f32::MAX as f64, ..JsonLimits::NONE };

/// Parses JSON and refuses an object with the same key twice.
pub(crate) fn parse(text: &[u8]) -> Result<Value> {
    let text = std::str::from_utf8(text)
        .map_err(|e| Error::header("/", format!("is not JSON that can be read: {e}")))?;
    json::read(text, LIMITS).map_err(|error| at("", error))
}

/// Parses one record of a larger text: its error is what is wrong, and on which line of this record, from 1.
pub(crate) fn record(text: &str) -> Result<Value, (String, usize)> {
    json::read(text, JsonLimits::NONE).map_err(|error| match error.kind {
        JsonErrorKind::Syntax => {
            let text = error.problem.trim_start_matches("is not JSON: ");
            let text = text.rsplit_once(" at line ").map_or(text, |(text, _)| text);
            (text.to_owned(), error.line)
        }
        _ => (problem(&error), error.line),
    })
}

/// An error of a part of a document, whose pointer is given.
fn at(pointer: &str, error: JsonError) -> Error {
    Error::header(format!("{pointer}{}", error.pointer()), problem(&error))
}

fn problem(error: &JsonError) -> String {
    match (error.kind, error.path.last()) {
        (JsonErrorKind::DuplicateKey, Some(json::PathStep::Key(key))) => {
            format!("key {key:?} appears twice")
        }
        (JsonErrorKind::UnknownField, _) => UNKNOWN.to_owned(),
        _ => error.problem.clone(),
    }
}

const UNKNOWN: &str = "is no field of this format; private notes belong under /extra";

/// Reads a value that may be null and must not be left out.
pub(crate) fn nullable<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// Reads 64 lower-case hexadecimal digits.
pub(crate) fn hash<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if super::digest::is_sha256(&text) {
        return Ok(text);
    }
    let found = serde::de::Unexpected::Str(&text);
    Err(serde::de::Error::invalid_value(found, &"64 lower-case hexadecimal digits"))
}

/// Reads 64 lower-case hexadecimal digits or null.
pub(crate) fn nullable_hash<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    struct Hash(#[serde(deserialize_with = "hash")] String);
    Ok(Option::<Hash>::deserialize(deserializer)?.map(|hash| hash.0))
}

/// A value and where it stands.
pub(crate) struct Node<'a> {
    pub(crate) pointer: String,
    value: &'a Value,
}

impl<'a> Node<'a> {
    pub(crate) fn root(value: &'a Value) -> Self {
        Node { pointer: String::new(), value }
    }

    /// Something wrong with this value.
    pub(crate) fn wrong(&self, problem: impl Into<String>) -> Error {
        let pointer = if self.pointer.is_empty() { "/" } else { &self.pointer };
        Error::header(pointer, problem)
    }

    fn expected(&self, what: &str) -> Error {
        let found: String = self.value.to_string().chars().take(64).collect();
        self.wrong(format!("is {found}, expected {what}"))
    }

    /// This value as a type that serde reads.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T> {
        json::part(self.value).map_err(|error| at(&self.pointer, error))
    }

    /// As JSON without spaces.
    pub(crate) fn compact(&self) -> String {
        self.value.to_string()
    }

    /// `None` for null.
    pub(crate) fn some(self) -> Option<Self> {
        (!self.value.is_null()).then_some(self)
    }

    pub(crate) fn is_list(&self) -> bool {
        self.value.is_array()
    }

    pub(crate) fn text(&self) -> Result<&'a str> {
        self.value.as_str().ok_or_else(|| self.expected("a string"))
    }

    pub(crate) fn integer(&self) -> Result<usize> {
        let integer = self.value.as_u64().and_then(|n| usize::try_from(n).ok());
        integer.ok_or_else(|| self.expected("a non-negative integer"))
    }

    pub(crate) fn whole(&self) -> Option<i64> {
        self.value.as_i64()
    }

    /// A number that is finite as f32.
    pub(crate) fn number(&self) -> Result<f32> {
        let number = self.value.as_f64().map(|n| n as f32).filter(|n| n.is_finite());
        number.ok_or_else(|| self.expected("a finite number"))
    }

    /// 64 lower-case hexadecimal digits.
    pub(crate) fn hash(&self) -> Result<String> {
        let text = self.text()?;
        if super::digest::is_sha256(text) {
            return Ok(text.to_owned());
        }
        Err(self.expected("64 lower-case hexadecimal digits"))
    }

    pub(crate) fn list(&self) -> Result<Vec<Node<'a>>> {
        let list = self.value.as_array().ok_or_else(|| self.expected("a list"))?;
        let at = |(i, value)| Node { pointer: format!("{}/{i}", self.pointer), value };
        Ok(list.iter().enumerate().map(at).collect())
    }

    pub(crate) fn object(&self) -> Result<Object<'a>> {
        let fields = self.value.as_object().ok_or_else(|| self.expected("an object"))?;
        let at = |(key, value): (&'a String, &'a Value)| {
            let escaped = key.replace('~', "~0").replace('/', "~1");
            (key.as_str(), Node { pointer: format!("{}/{escaped}", self.pointer), value })
        };
        Ok(Object { pointer: self.pointer.clone(), fields: fields.iter().map(at).collect() })
    }
}

/// The fields of an object that were not asked for yet.
pub(crate) struct Object<'a> {
    pointer: String,
    fields: Vec<(&'a str, Node<'a>)>,
}

impl<'a> Object<'a> {
    /// A field that must be there.
    pub(crate) fn take(&mut self, name: &str) -> Result<Node<'a>> {
        let missing = format!("{}/{name}", self.pointer);
        self.take_if_there(name)
            .ok_or_else(|| Error::header(missing, "is missing, and a file without it is not used"))
    }

    /// A field that may be left out.
    pub(crate) fn take_if_there(&mut self, name: &str) -> Option<Node<'a>> {
        let at = self.fields.iter().position(|(key, _)| *key == name)?;
        Some(self.fields.swap_remove(at).1)
    }

    /// A field that must be there and may be null.
    pub(crate) fn take_or_null<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Node<'a>) -> Result<T>,
    ) -> Result<Option<T>> {
        self.take(name)?.some().map(read).transpose()
    }

    /// The fields that were not asked for.
    pub(crate) fn rest(self) -> Vec<(&'a str, Node<'a>)> {
        self.fields
    }

    /// Refuses what was not asked for.
    pub(crate) fn finish(self) -> Result<()> {
        match self.fields.first() {
            None => Ok(()),
            Some((_, node)) => Err(node.wrong(UNKNOWN)),
        }
    }
}
