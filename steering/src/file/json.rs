//! JSON from strangers: every key once, every field known, every error with its pointer.
//!
//! serde's derive says at which byte something is wrong; people look for a field. So objects are taken apart by hand,
//! and what was not asked for is refused.

use crate::error::{Error, Result};
use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Parses JSON and refuses an object with the same key twice.
pub(crate) fn parse(text: &[u8]) -> Result<Value> {
    let strict = serde_json::from_slice::<Strict>(text);
    strict
        .map(|s| s.0)
        .map_err(|e| Error::header("/", format!("is not JSON that can be read: {e}")))
}

/// The same of one line or record of a larger text, which knows better where it stands: what is wrong, and on which
/// line of this text, from 1.
pub(crate) fn record(text: &str) -> Result<Value, (String, usize)> {
    serde_json::from_str::<Strict>(text).map(|s| s.0).map_err(|e| said(&e))
}

/// What the parser says, without its own account of the place, and the line it is on, from 1.
pub fn said(error: &serde_json::Error) -> (String, usize) {
    let text = error.to_string();
    let problem = text.rsplit_once(" at line ").map_or(text.as_str(), |(told, _)| told).to_owned();
    (problem, error.line().max(1))
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Build).map(Strict)
    }
}

struct Build;

impl<'de> Visitor<'de> for Build {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let Strict(value) = entries.next_value()?;
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("key {key:?} appears twice")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
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

    /// As JSON without spaces.
    pub(crate) fn compact(&self) -> String {
        self.value.to_string()
    }

    /// `None` for null.
    pub(crate) fn some(self) -> Option<Self> {
        (!self.value.is_null()).then_some(self)
    }

    pub(crate) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    pub(crate) fn is_text(&self) -> bool {
        self.value.is_string()
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

    /// One of the names of an enum.
    pub(crate) fn choice<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(self.value).map_err(|e| self.wrong(format!("is not known: {e}")))
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
            Some((_, node)) => {
                Err(node.wrong("is no field of this format; private notes belong under /extra"))
            }
        }
    }
}
