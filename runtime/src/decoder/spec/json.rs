//! Typed access to `config.json`, with errors that name a field as it stands in the file.

use super::SpecError;
use serde_json::Value;

/// A JSON object with the path to it.
#[derive(Clone, Copy)]
pub(super) struct Json<'a> {
    pub(super) object: &'a Value,
    path: &'static str,
}

impl<'a> Json<'a> {
    pub(super) fn root(object: &'a Value) -> Self {
        Json { object, path: "" }
    }

    /// A field's value; a null counts as missing.
    pub(super) fn field(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|v| !v.is_null())
    }

    pub(super) fn child(&self, key: &'static str) -> Option<Json<'a>> {
        self.field(key).filter(|v| v.is_object()).map(|object| Json { object, path: key })
    }

    pub(super) fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn missing(&self, key: &str) -> SpecError {
        SpecError::Missing(format!("config.json field {}", self.name(key)))
    }

    fn wrong(&self, key: &str, expected: &str) -> SpecError {
        SpecError::value(self.name(key), format!("should be {expected}"))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, SpecError> {
        let read = |v: &'a Value| v.as_str().ok_or_else(|| self.wrong(key, "a text"));
        self.field(key).map(read).transpose()
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, SpecError> {
        let read = |v: &Value| v.as_bool().ok_or_else(|| self.wrong(key, "true or false"));
        self.field(key).map(read).transpose()
    }

    pub(super) fn integer(&self, key: &str) -> Result<Option<usize>, SpecError> {
        let read = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
        let wrong = || self.wrong(key, "a non-negative integer");
        self.field(key).map(|v| read(v).ok_or_else(wrong)).transpose()
    }

    pub(super) fn need(&self, key: &str) -> Result<usize, SpecError> {
        self.integer(key)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, SpecError> {
        self.field(key).map(|v| v.as_f64().ok_or_else(|| self.wrong(key, "a number"))).transpose()
    }

    pub(super) fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>, SpecError> {
        let wrong = || self.wrong(key, "a list of numbers");
        self.field(key)
            .map(|v| {
                let list = v.as_array().ok_or_else(wrong)?;
                list.iter().map(|x| x.as_f64().ok_or_else(wrong)).collect()
            })
            .transpose()
    }
}
