//! Bytes to a wire type, with every refusal at its field.
//!
//! The text is gone through twice. The first time nothing is kept: it finds what no type would, such as a key given
//! twice or lists nested without end. The second time it becomes the type.

use super::error::Code;
use crate::refusal::Refusal;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess,
};
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use trimtab_runtime::filetype::{FileType, without_bom};

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
    let text = without_bom(text);
    check(text)?;
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        misfit(if path == "." { "" } else { &path }, &error.into_inner())
    })
}

/// What is wrong with a value, from the words of serde.
fn misfit(path: &str, error: &serde_json::Error) -> Refusal {
    let told = error.to_string();
    // The position is of no use in a body that a program wrote, and the path says more.
    let told = told.rsplit_once(" at line ").map_or(told.as_str(), |(told, _)| told);
    if !error.is_data() {
        return at(Refusal::new(Code::InvalidJson, format!("body is not JSON: {error}")), path);
    }
    if let Some(field) = told.strip_prefix("missing field ") {
        let field = field.trim_matches('`');
        let path = if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
        return Refusal::invalid(path, "is missing");
    }
    let subject = if path.is_empty() { "body" } else { path };
    if told.starts_with("unknown field") {
        let hint = match nearest(path, told) {
            Some(name) => format!("; did you mean {name}?"),
            None => String::new(),
        };
        return at(Refusal::new(Code::UnknownField, format!("{subject} is not known{hint}")), path);
    }
    let told = told.strip_prefix("invalid type: ").or(told.strip_prefix("invalid value: "));
    let problem = match told.and_then(|told| told.rsplit_once(", expected ")) {
        Some((found, wanted)) => {
            format!("{subject} is {}, expected {}", article(found), plain(wanted))
        }
        None => format!("{subject} is refused: {}", told.unwrap_or(&short(error))),
    };
    at(Refusal::new(Code::InvalidValue, problem), path)
}

fn at(refusal: Refusal, path: &str) -> Refusal {
    if path.is_empty() { refusal } else { refusal.at(path) }
}

fn short(error: &serde_json::Error) -> String {
    let told = error.to_string();
    told.rsplit_once(" at line ").map_or(told.clone(), |(told, _)| told.to_owned())
}

/// A value as people call it.
fn article(found: &str) -> &str {
    match found {
        "sequence" => "a list",
        "map" => "an object",
        other => other,
    }
}

/// A type as people call it.
fn plain(wanted: &str) -> &str {
    match wanted {
        "f32" | "f64" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i32" | "i64" | "isize" => "a whole number",
        "a sequence" => "a list",
        "a map" => "an object",
        other if other.starts_with("struct ") => "an object",
        other => other,
    }
}

/// The known name that is nearest to an unknown one: the last part of the path.
fn nearest<'a>(path: &str, told: &'a str) -> Option<&'a str> {
    let given = path.rsplit('.').next().unwrap_or_default();
    let (_, known) = told.rsplit_once(", expected ")?;
    let names = known.split('`').skip(1).step_by(2);
    names.min_by_key(|name| distance(given, name))
}

/// Levenshtein's distance between names, of which the first 64 characters count.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=a.len()).collect();
    for (i, y) in b.chars().take(64).enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (x, above) in a.iter().zip(row.iter().skip(1)) {
            left = (corner + usize::from(*x != y)).min(left + 1).min(above + 1);
            corner = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// Goes through a document and keeps nothing.
fn check(text: &str) -> Result<(), Refusal> {
    let path = RefCell::new(Vec::new());
    let fault = RefCell::new(None);
    let mut json = serde_json::Deserializer::from_str(text);
    let walked = Walk { path: &path, fault: &fault }.deserialize(&mut json);
    let walked = walked.and_then(|()| json.end());
    let Err(error) = walked else { return Ok(()) };
    let path = written(&path.borrow());
    if let Some(code) = *fault.borrow() {
        let refusal = Refusal::new(code, format!("{path} {}", short(&error)));
        return Err(at(refusal, &path));
    }
    Err(misfit("", &error))
}

/// A part of a path.
enum Step {
    Key(String),
    Index(usize),
}

fn written(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => {
                text.push('.');
                text.push_str(key);
            }
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    /// Where it is; after an error, where the error is.
    path: &'a RefCell<Vec<Step>>,
    /// The code of an error of its own.
    fault: &'a RefCell<Option<Code>>,
}

impl Walk<'_> {
    fn enter<E: serde::de::Error>(&self, step: Step) -> Result<(), E> {
        self.path.borrow_mut().push(step);
        if self.path.borrow().len() > NESTING {
            *self.fault.borrow_mut() = Some(Code::InvalidJson);
            return Err(E::custom(format!("is nested more than {NESTING} levels deep")));
        }
        Ok(())
    }

    fn leave(&self) {
        self.path.borrow_mut().pop();
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> serde::de::Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut index = 0;
        loop {
            self.enter(Step::Index(index))?;
            let more = list.next_element_seed(self)?;
            self.leave();
            index += 1;
            if more.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            self.enter(Step::Key(key.clone()))?;
            if !seen.insert(key) {
                *self.fault.borrow_mut() = Some(Code::InvalidValue);
                return Err(A::Error::custom("is given twice"));
            }
            map.next_value_seed(self)?;
            self.leave();
        }
        Ok(())
    }
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
