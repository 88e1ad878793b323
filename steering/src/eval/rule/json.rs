//! Whether a text is JSON and nothing else.

use serde_json::Value;

/// Whether a text is one object or array, white space or a code fence around it aside.
///
/// A bare number or string is JSON too, but every one-word answer would pass.
pub(super) fn is_whole(text: &str) -> bool {
    let text = unfenced(text.trim());
    matches!(serde_json::from_str(text), Ok(Value::Object(_) | Value::Array(_)))
}

/// What stands between the lines of a code fence, or the text itself.
fn unfenced(text: &str) -> &str {
    let inside = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    let Some((language, body)) = inside.and_then(|inside| inside.split_once('\n')) else {
        return text;
    };
    if matches!(language.trim(), "" | "json" | "JSON") { body } else { text }
}
