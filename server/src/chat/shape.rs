//! Fields that would change what an answer is, and the values of them that ask for nothing.
//!
//! `tools: []`, `tool_choice: "none"` and `modalities: ["text"]` are what clients write who want a plain answer. They are
//! taken; anything else in these fields is refused by name.

use crate::error::ApiError;
use crate::wire::rest::{Rest, is_nothing, says};
use serde_json::Value;

/// Refuses fields that ask for an answer of another shape.
pub(crate) fn plain(rest: &Rest) -> Result<(), ApiError> {
    match rest.iter().find(|(name, value)| !is_nothing(value) && reshapes(name, value, rest)) {
        None => Ok(()),
        Some((name, _)) => {
            let why = "an answer to it has another shape; leave it out";
            Err(ApiError::unsupported(name, why))
        }
    }
}

fn reshapes(name: &str, value: &Value, rest: &Rest) -> bool {
    let forbidden = |choice: &str| rest.get(choice).is_some_and(|choice| says(choice, "none"));
    match name {
        // Tools that may not be called change nothing.
        "tools" => !forbidden("tool_choice"),
        "functions" => !forbidden("function_call"),
        // Without tools there is nothing to choose; with them, they are what is refused.
        "tool_choice" | "function_call" => !says(value, "none") && !says(value, "auto"),
        "modalities" => !says(value, "text"),
        "audio" | "suffix" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Option<String> {
        let rest: Rest = serde_json::from_str(text).unwrap();
        plain(&rest).err().and_then(|refusal| refusal.param)
    }

    #[test]
    fn what_asks_for_nothing_is_taken_and_the_rest_refused() {
        for text in [
            r#"{"tools":[],"functions":[],"tool_choice":"auto","function_call":"none"}"#,
            r#"{"tools":null,"tool_choice":null,"modalities":["text"],"suffix":"","audio":null}"#,
            r#"{"tools":[{"type":"function"}],"tool_choice":"none","modalities":[]}"#,
            r#"{"functions":[{}],"function_call":"none","prediction":{"type":"content"}}"#,
            r#"{"tool_choice":"","parallel_tool_calls":true,"store":false,"metadata":{}}"#,
        ] {
            assert_eq!(refused(text), None, "{text}");
        }
        for (text, field) in [
            (r#"{"tools":[{"type":"function"}]}"#, "tools"),
            (r#"{"tools":[{"type":"function"}],"tool_choice":"auto"}"#, "tools"),
            (r#"{"tools":[],"tool_choice":"required"}"#, "tool_choice"),
            (r#"{"tool_choice":{"type":"function"}}"#, "tool_choice"),
            (r#"{"functions":[{}],"tool_choice":"none"}"#, "functions"),
            (r#"{"modalities":["text","audio"]}"#, "modalities"),
            (r#"{"suffix":"x"}"#, "suffix"),
            (r#"{"audio":{"voice":"x"}}"#, "audio"),
        ] {
            assert_eq!(refused(text).as_deref(), Some(field), "{text}");
        }
    }
}
