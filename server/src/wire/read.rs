//! Bytes to a wire type, with every refusal at its field.

use super::error::Code;
use crate::refusal::Refusal;
use serde::de::DeserializeOwned;
use trimtab_runtime::filetype::{FileType, without_bom};
use trimtab_runtime::json::{self, JsonError, JsonErrorKind, JsonLimits};

/// Lists and objects inside each other, the outermost included.
const NESTING: usize = 32;

/// Reads a body: strict UTF-8 with or without a byte order mark, no key twice, at most 32 levels deep, and every error names
/// its field.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let problem = match FileType::of(bytes) {
            Some(FileType::Gzip) => {
                "body is compressed by gzip; say so in the header content-encoding".to_owned()
            }
            Some(FileType::Utf16) => "body is text in UTF-16; send it as UTF-8".to_owned(),
            _ => format!("body is not UTF-8 at byte {}", e.valid_up_to()),
        };
        Refusal::new(Code::InvalidJson, problem)
    })?;
    json::read(without_bom(text), JsonLimits { nesting: NESTING, ..JsonLimits::NONE })
        .map_err(refusal)
}

fn refusal(error: JsonError) -> Refusal {
    let code = match error.kind {
        JsonErrorKind::Syntax | JsonErrorKind::Nesting => Code::InvalidJson,
        JsonErrorKind::UnknownField => Code::UnknownField,
        _ => Code::InvalidValue,
    };
    let path = error.dotted();
    if path.is_empty() {
        return Refusal::new(code, format!("body {}", error.problem));
    }
    Refusal::new(code, format!("{path} {}", error.problem)).at(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize)]
    struct Outer {
        name: String,
        inner: Option<Vec<Inner>>,
        #[serde(flatten)]
        rest: BTreeMap<String, serde::de::IgnoredAny>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)] // only its refusals are looked at
    struct Inner {
        scale: Option<f32>,
        layers: Option<Vec<u32>>,
    }

    fn refused(text: &str) -> (String, String, String) {
        let refusal = read::<Outer>(text.as_bytes()).unwrap_err();
        (refusal.code.text(), refusal.param.unwrap_or_default(), refusal.message)
    }

    #[test]
    fn a_refusal_names_its_field() {
        let table = [
            (r#"{"name":"a","inner":[{"scal":1}]}"#, "unknown_field", "inner[0].scal"),
            (r#"{"name":"a","inner":[{},{"scale":"x"}]}"#, "invalid_value", "inner[1].scale"),
            (r#"{"name":"a","inner":[{"layers":[1,-2]}]}"#, "invalid_value", "inner[0].layers[1]"),
            (r#"{"name":7}"#, "invalid_value", "name"),
            (r#"{}"#, "invalid_value", "name"),
            (r#"[]"#, "invalid_value", ""),
            (r#"{"name":"a","name":"b"}"#, "invalid_value", "name"),
            (r#"{"name":"a","x":{"y":[{"z":1,"z":2}]}}"#, "invalid_value", "x.y[0].z"),
            (r#"{"name":"#, "invalid_json", ""),
            (r#"{"name":"a"} x"#, "invalid_json", ""),
            (r#"{"name":"\ud800"}"#, "invalid_json", ""),
            ("", "invalid_json", ""),
            (r#"{"name":"a","inner":[{"scale":1e999}]}"#, "invalid_json", ""),
        ];
        for (text, code, param) in table {
            let (found, at, message) = refused(text);
            assert_eq!((found.as_str(), at.as_str()), (code, param), "{text}: {message}");
        }
    }

    #[test]
    fn the_nearest_name_is_proposed() {
        let (_, _, message) = refused(r#"{"name":"a","inner":[{"scal":1}]}"#);
        assert_eq!(message, "inner[0].scal is not known; did you mean scale?");
        let (_, _, message) = refused(r#"{"name":"a","inner":[{"layer":1}]}"#);
        assert!(message.ends_with("did you mean layers?"), "{message}");
        let (_, _, message) = refused(r#"{"name":["a"]}"#);
        assert_eq!(message, "name is a list, expected a string");
    }

    #[test]
    fn only_unknown_names_are_kept_and_nesting_ends() {
        let deep = |n: usize| format!(r#"{{"name":"a","x":{}{}}}"#, "[".repeat(n), "]".repeat(n));
        let read_in: Outer = read(deep(31).as_bytes()).unwrap();
        assert_eq!(read_in.rest.len(), 1);
        assert!(read_in.name == "a" && read_in.inner.is_none());
        assert_eq!(refused(&deep(32)).0, "invalid_json");
        assert_eq!(refused(&deep(100_000)).0, "invalid_json");
    }

    #[test]
    fn other_encodings_are_refused() {
        let refusal = read::<Outer>(b"{\"name\":\"\xff\"}").unwrap_err();
        assert_eq!(
            (refusal.code, refusal.message.as_str()),
            (Code::InvalidJson, "body is not UTF-8 at byte 9")
        );
        let told = |bytes: &[u8]| read::<Outer>(bytes).unwrap_err().message;
        assert!(told(b"\x1f\x8b\x08\0").contains("content-encoding"));
        assert!(told(b"\xff\xfe{\0}\0").contains("UTF-16"));
        // A byte order mark in front is no part of the JSON; a second one is.
        let marked = |marks: &str| read::<Outer>(format!("{marks}{{\"name\":\"a\"}}").as_bytes());
        assert_eq!(marked("\u{feff}").unwrap().name, "a");
        assert_eq!(marked("\u{feff}\u{feff}").unwrap_err().code, Code::InvalidJson);
    }
}
