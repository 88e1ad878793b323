//! Typed access to the key–value part of a GGUF file.
//!
//! GGUF writers disagree about integer widths (`u32` here, `i32` or `u64` there), so every integer getter
//! accepts any width that fits. A key with the wrong kind of value is an error, a missing key is `None`:
//! the caller decides which keys it needs.

use std::collections::BTreeMap;

/// One GGUF metadata value. Arrays are kept by kind, because token lists have 10^5 entries.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Any unsigned or non-negative integer of the file.
    Unsigned(u64),
    /// A negative integer.
    Signed(i64),
    /// `f32` or `f64`.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A UTF-8 string.
    Text(String),
    /// Array of strings.
    Texts(Vec<String>),
    /// Array of any integer type.
    Integers(Vec<i64>),
    /// Array of `f32` or `f64`.
    Floats(Vec<f32>),
    /// Array of booleans.
    Bools(Vec<bool>),
}

/// A metadata value that is there, but not of the kind the reader needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("metadata key {key} should be {expected}")]
pub struct WrongKind {
    /// The full key, such as `llama.block_count`.
    pub key: String,
    /// What the reader needs, in words.
    pub expected: &'static str,
}

/// The metadata of a GGUF file, by full key.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    values: BTreeMap<String, Value>,
}

impl Metadata {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value; `false` (and no change) if the key is already there.
    pub fn insert(&mut self, key: impl Into<String>, value: Value) -> bool {
        use std::collections::btree_map::Entry;
        match self.values.entry(key.into()) {
            Entry::Vacant(slot) => {
                slot.insert(value);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// All keys and values in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// The raw value.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// A string.
    pub fn text(&self, key: &str) -> Result<Option<&str>, WrongKind> {
        self.pick(key, "a string", |v| match v {
            Value::Text(s) => Some(s.as_str()),
            _ => None,
        })
    }

    /// A non-negative integer that fits `usize`.
    pub fn integer(&self, key: &str) -> Result<Option<usize>, WrongKind> {
        self.pick(key, "a non-negative integer", |v| match v {
            Value::Unsigned(n) => usize::try_from(*n).ok(),
            _ => None,
        })
    }

    /// A number, integers included.
    pub fn number(&self, key: &str) -> Result<Option<f64>, WrongKind> {
        self.pick(key, "a number", |v| match v {
            Value::Float(x) => Some(*x),
            Value::Unsigned(n) => Some(*n as f64),
            Value::Signed(n) => Some(*n as f64),
            _ => None,
        })
    }

    /// A boolean.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, WrongKind> {
        self.pick(key, "a boolean", |v| match v {
            Value::Bool(b) => Some(*b),
            _ => None,
        })
    }

    /// An array of strings.
    pub fn texts(&self, key: &str) -> Result<Option<&[String]>, WrongKind> {
        self.pick(key, "an array of strings", |v| match v {
            Value::Texts(a) => Some(a.as_slice()),
            _ => None,
        })
    }

    /// An array of integers.
    pub fn integers(&self, key: &str) -> Result<Option<&[i64]>, WrongKind> {
        self.pick(key, "an array of integers", |v| match v {
            Value::Integers(a) => Some(a.as_slice()),
            _ => None,
        })
    }

    /// An array of floats.
    pub fn floats(&self, key: &str) -> Result<Option<&[f32]>, WrongKind> {
        self.pick(key, "an array of floats", |v| match v {
            Value::Floats(a) => Some(a.as_slice()),
            _ => None,
        })
    }

    /// An array of booleans.
    pub fn bools(&self, key: &str) -> Result<Option<&[bool]>, WrongKind> {
        self.pick(key, "an array of booleans", |v| match v {
            Value::Bools(a) => Some(a.as_slice()),
            _ => None,
        })
    }

    fn pick<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, WrongKind> {
        match self.values.get(key) {
            None => Ok(None),
            Some(value) => {
                read(value).map(Some).ok_or_else(|| WrongKind { key: key.to_owned(), expected })
            }
        }
    }
}
