//! Fields that no type knows, and whether they ask for anything.
//!
//! Clients write down what they leave at its default: empty lists of tools, `"none"`, `null`. Refusing a field for being
//! there would refuse these too, so its value is looked at.

use serde_json::Value;
use std::collections::BTreeMap;

/// Fields that no type knows.
pub type Rest = BTreeMap<String, Value>;

/// Whether a value asks for nothing, in any field.
pub fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether a value is this word, or a list of it alone.
pub fn says(value: &Value, word: &str) -> bool {
    match value {
        Value::Array(list) => !list.is_empty() && list.iter().all(|one| one == word),
        one => one == word,
    }
}

/// The names of fields that ask for something.
pub fn names(rest: &Rest) -> impl Iterator<Item = &str> {
    rest.iter().filter(|(_, value)| !is_nothing(value)).map(|(name, _)| name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_that_ask_for_nothing_are_told_from_others() {
        for nothing in [json!(null), json!([]), json!({}), json!("")] {
            assert!(is_nothing(&nothing), "{nothing}");
        }
        for something in [json!([null]), json!(false), json!(0), json!({"a": null}), json!([[]])] {
            assert!(!is_nothing(&something), "{something}");
        }
        assert!(says(&json!("none"), "none") && says(&json!(["text"]), "text"));
        assert!(!says(&json!(["text", "audio"]), "text") && !says(&json!([]), "text"));
    }
}
