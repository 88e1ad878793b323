//! Strict JSON: no key twice, nesting that ends, and every error at its field.
//!
//! The text is read twice. The first pass keeps nothing and finds what no type would, such as a key given twice. The
//! second pass makes the value, by serde.

use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess,
};
use serde_path_to_error::Segment;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

/// What a document may hold beyond what its type says.
#[derive(Debug, Clone, Copy)]
pub struct JsonLimits {
    /// Lists and objects inside each other, the outermost included.
    pub nesting: usize,
    /// The largest number, without its sign.
    pub largest: f64,
}

impl JsonLimits {
    /// No limits but those of the parser.
    pub const NONE: JsonLimits = JsonLimits { nesting: usize::MAX, largest: f64::MAX };
}

/// What kind of error a document has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonErrorKind {
    /// The text is not JSON.
    Syntax,
    /// Lists and objects are nested too deep.
    Nesting,
    /// An object has a key twice.
    DuplicateKey,
    /// The type has no such field.
    UnknownField,
    /// A field is missing or has another type or value.
    Value,
}

/// A step from an object or a list to one of its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathStep {
    /// A key of an object.
    Key(String),
    /// A place in a list, from 0.
    Index(usize),
}

/// An error of a document, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// What kind of error it is.
    pub kind: JsonErrorKind,
    /// Where it is; empty for the document itself.
    pub path: Vec<PathStep>,
    /// What follows the name of the field: `is missing`.
    pub problem: String,
    /// The line, from 1.
    pub line: usize,
}

impl JsonError {
    /// The path as `a.b[0]`.
    pub fn dotted(&self) -> String {
        let mut text = String::new();
        for step in &self.path {
            match step {
                PathStep::Key(key) if text.is_empty() => text.push_str(key),
                PathStep::Key(key) => text.extend([".", key.as_str()]),
                PathStep::Index(index) => text.push_str(&format!("[{index}]")),
            }
        }
        text
    }

    /// The path as a JSON pointer, `/a/b/0`.
    pub fn pointer(&self) -> String {
        let step = |step: &PathStep| match step {
            PathStep::Key(key) => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            PathStep::Index(index) => format!("/{index}"),
        };
        self.path.iter().map(step).collect()
    }

    fn new(path: Vec<PathStep>, error: &serde_json::Error) -> JsonError {
        let line = error.line().max(1);
        let made = |kind, path, problem| JsonError { kind, path, problem, line };
        if !error.is_data() {
            return made(JsonErrorKind::Syntax, path, format!("is not JSON: {error}"));
        }
        let (text, _) = without_position(error);
        if let Some(field) = text.strip_prefix("missing field ") {
            let step = PathStep::Key(field.trim_matches('`').to_owned());
            let path = path.into_iter().chain([step]).collect();
            return made(JsonErrorKind::Value, path, "is missing".to_owned());
        }
        if text.starts_with("unknown field") {
            let hint = proposed(&path, &text)
                .map_or_else(String::new, |name| format!("; did you mean {name}?"));
            return made(JsonErrorKind::UnknownField, path, format!("is not known{hint}"));
        }
        if let Some((found, wanted)) = lengths(&text) {
            let problem = format!("has {found} entries, expected {wanted}");
            return made(JsonErrorKind::Value, path, problem);
        }
        let told = text.strip_prefix("invalid type: ").or(text.strip_prefix("invalid value: "));
        let problem = match told.and_then(|told| told.rsplit_once(", expected ")) {
            Some((found, wanted)) => format!("is {}, expected {}", article(found), plain(wanted)),
            None => format!("is refused: {}", told.unwrap_or(&text)),
        };
        made(JsonErrorKind::Value, path, problem)
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.dotted();
        write!(f, "{} {}", if path.is_empty() { "document" } else { &path }, self.problem)
    }
}

impl std::error::Error for JsonError {}

/// Reads a text as a value of a type.
///
/// # Errors
///
/// The text is no JSON, has a key twice, goes beyond a limit, or is no such value.
pub fn read<T: DeserializeOwned>(text: &str, limits: JsonLimits) -> Result<T, JsonError> {
    check(text, limits)?;
    of(&mut serde_json::Deserializer::from_str(text))
}

/// A part of a document that was read before, as a value of a type.
///
/// # Errors
///
/// It is no such value. The path begins at this part.
pub fn part<'a, T: Deserialize<'a>>(value: &'a serde_json::Value) -> Result<T, JsonError> {
    of(value)
}

fn of<'de, T: Deserialize<'de>, D: Deserializer<'de, Error = serde_json::Error>>(
    json: D,
) -> Result<T, JsonError> {
    serde_path_to_error::deserialize(json).map_err(|error| {
        let step = |segment: &Segment| match segment {
            Segment::Seq { index } => Some(PathStep::Index(*index)),
            Segment::Map { key } => Some(PathStep::Key(key.clone())),
            Segment::Enum { variant } => Some(PathStep::Key(variant.clone())),
            Segment::Unknown => None,
        };
        let path = error.path().iter().filter_map(step).collect();
        JsonError::new(path, error.inner())
    })
}

/// What the parser says without its account of the place, and the line, from 1.
pub fn without_position(error: &serde_json::Error) -> (String, usize) {
    let text = error.to_string();
    let problem = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text).to_owned();
    (problem, error.line().max(1))
}

/// The name that is nearest to a word (Levenshtein); the first 64 characters count.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let short = |text: &str| text.chars().take(64).collect::<String>();
    let word = short(word);
    names.into_iter().min_by_key(|name| strsim::levenshtein(&word, &short(name)))
}

/// The length of a list, and the one it should have.
fn lengths(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("invalid length ")?.split_once(", expected a tuple of size ")
}

/// A value with its article.
fn article(found: &str) -> &str {
    match found {
        "sequence" => "a list",
        "map" => "an object",
        other => other,
    }
}

/// A type in plain words.
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

/// The known field that is nearest to the unknown one, which ends the path.
fn proposed<'a>(path: &[PathStep], text: &'a str) -> Option<&'a str> {
    let Some(PathStep::Key(given)) = path.last() else { return None };
    let (_, known) = text.rsplit_once(", expected ")?;
    nearest(given, known.split('`').skip(1).step_by(2))
}

/// Goes through a document and keeps nothing.
fn check(text: &str, limits: JsonLimits) -> Result<(), JsonError> {
    let walk = Walk { limits, path: &RefCell::default(), fault: &RefCell::default() };
    let mut json = serde_json::Deserializer::from_str(text);
    let Err(error) = walk.deserialize(&mut json).and_then(|()| json.end()) else { return Ok(()) };
    match walk.fault.take() {
        None => Err(JsonError::new(Vec::new(), &error)),
        Some(kind) => {
            let (problem, line) = without_position(&error);
            Err(JsonError { kind, path: walk.path.take(), problem, line })
        }
    }
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    limits: JsonLimits,
    /// The place of the walk; after an error, that of the error.
    path: &'a RefCell<Vec<PathStep>>,
    /// The kind of an error that the parser does not know.
    fault: &'a RefCell<Option<JsonErrorKind>>,
}

impl Walk<'_> {
    fn fail<E: serde::de::Error>(&self, kind: JsonErrorKind, problem: impl fmt::Display) -> E {
        *self.fault.borrow_mut() = Some(kind);
        E::custom(problem)
    }

    fn enter<E: serde::de::Error>(&self, step: PathStep) -> Result<(), E> {
        self.path.borrow_mut().push(step);
        let nesting = self.limits.nesting;
        if self.path.borrow().len() <= nesting {
            return Ok(());
        }
        Err(self.fail(
            JsonErrorKind::Nesting,
            format_args!("is nested more than {nesting} levels deep"),
        ))
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

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        if number.abs() <= self.limits.largest {
            return Ok(());
        }
        let problem = format_args!("is {number:e}, expected a finite number").to_string();
        Err(self.fail(JsonErrorKind::Value, problem))
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        for index in 0.. {
            self.enter(PathStep::Index(index))?;
            let more = list.next_element_seed(self)?;
            self.path.borrow_mut().pop();
            if more.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            self.enter(PathStep::Key(key.clone()))?;
            if !seen.insert(key) {
                return Err(self.fail(JsonErrorKind::DuplicateKey, "is given twice"));
            }
            map.next_value_seed(self)?;
            self.path.borrow_mut().pop();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn an_error_says_where_it_is() {
        let limits = JsonLimits { nesting: 3, largest: 100.0 };
        for (text, kind, pointer, dotted) in [
            ("{\"a\":1,\n\"a\":2}", JsonErrorKind::DuplicateKey, "/a", "a"),
            (r#"{"a":[{"b/c":1e3}]}"#, JsonErrorKind::Value, "/a/0/b~1c", "a[0].b/c"),
            (r#"[[[[]]]]"#, JsonErrorKind::Nesting, "/0/0/0/0", "[0][0][0][0]"),
            (r#"{"a":"#, JsonErrorKind::Syntax, "", ""),
            (r#"{} {}"#, JsonErrorKind::Syntax, "", ""),
        ] {
            let error = read::<Value>(text, limits).unwrap_err();
            let (found, line) = ((error.pointer(), error.dotted()), error.line);
            assert_eq!(error.kind, kind, "{text}: {error}");
            assert_eq!((found.0.as_str(), found.1.as_str()), (pointer, dotted), "{text}");
            assert_eq!(line, 1 + text.matches('\n').count());
        }
        assert!(read::<Value>(r#"{"a":{"a":[99.5]}}"#, limits).is_ok());
    }

    #[test]
    fn a_part_has_a_path_of_its_own() {
        let document: Value = read(r#"{"a":[1,-2]}"#, JsonLimits::NONE).unwrap();
        let error = part::<Vec<u32>>(&document["a"]).unwrap_err();
        assert_eq!(error.pointer(), "/1");
        assert!(error.problem.ends_with("expected a whole number, 0 or more"), "{error}");
    }

    #[test]
    fn the_nearest_name_is_found() {
        assert_eq!(nearest("scal", ["layers", "scale"]), Some("scale"));
        assert_eq!(nearest("scal", []), None);
    }
}
