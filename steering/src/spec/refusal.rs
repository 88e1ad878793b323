//! What is wrong with a part of a specification, with its place inside that part.
//!
//! The function that finds a fault knows the field, its caller knows what is around, so the path grows outward as the fault
//! travels. At the top, the caller makes its own kind of refusal from the whole path and the cause.

use crate::error::Error;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;

/// Something that is refused, and where.
#[derive(Debug)]
pub struct FieldError {
    /// From the part that is being read inward, such as `gate.site`; empty for the part itself.
    pub path: String,
    /// What is wrong there.
    pub cause: FieldCause,
}

/// Why a field is refused.
#[derive(Debug)]
pub enum FieldCause {
    /// What the field says.
    Problem {
        /// The name of the refusal on the wire.
        code: Cow<'static, str>,
        /// What follows the name of the field.
        problem: String,
    },
    /// What the field asks for was refused.
    Refused(Box<Error>),
}

impl FieldError {
    /// A field with a problem: the message is the field's path and the problem.
    pub fn new(
        code: impl Into<Cow<'static, str>>,
        path: impl Into<String>,
        problem: impl Into<String>,
    ) -> FieldError {
        let cause = FieldCause::Problem { code: code.into(), problem: problem.into() };
        FieldError { path: path.into(), cause }
    }

    /// A field with a value it cannot have.
    pub fn value(path: impl Into<String>, problem: impl Into<String>) -> FieldError {
        FieldError::new("invalid_value", path, problem)
    }

    /// An error that arose from a field. A setting that the error names is a field inside it.
    pub fn of(error: Error, path: &str) -> FieldError {
        match error {
            Error::Setting { field, problem } => {
                FieldError::value(wire_name(field), problem).under(path)
            }
            error => FieldError { path: path.to_owned(), cause: FieldCause::Refused(error.into()) },
        }
    }

    /// An error that arose from a field, whatever setting the error names.
    pub fn at(error: Error, path: &str) -> FieldError {
        FieldError { path: path.to_owned(), ..FieldError::of(error, "") }
    }

    /// The same, seen from around a part of this name.
    #[must_use]
    pub fn under(self, part: &str) -> FieldError {
        let path = match (part, self.path.as_str()) {
            (_, "") => part.to_owned(),
            ("", path) => path.to_owned(),
            (part, path) if path.starts_with('[') => format!("{part}{path}"),
            (part, path) => format!("{part}.{path}"),
        };
        FieldError { path, ..self }
    }

    /// The name of the refusal on the wire.
    pub fn code(&self) -> &str {
        match &self.cause {
            FieldCause::Problem { code, .. } => code,
            FieldCause::Refused(error) => error.code(),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            FieldCause::Problem { problem, .. } => write!(f, "{} {problem}", self.path),
            FieldCause::Refused(error) => write!(f, "{}: {error}", self.path),
        }
    }
}

impl std::error::Error for FieldError {}

/// How specifications name a setting.
fn wire_name(field: &'static str) -> &'static str {
    match field {
        "half_life" => "gate.half_life",
        "warmup" => "gate.tokens",
        other => other,
    }
}

/// The word that a value of a closed list is written as.
pub(super) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        // A variant without fields always is a text.
        Ok(_) | Err(_) => String::new(),
    }
}

/// A field, whether it is given, and the kinds that it belongs to.
pub(super) type Belonging<'a, K> = (&'static str, bool, &'a [K]);

/// Refuses the first field that is given and belongs to other kinds; `what` introduces the kind that is there.
pub(super) fn strays<K: PartialEq + Serialize>(
    fields: &[Belonging<'_, K>],
    kind: K,
    what: &str,
) -> Result<(), FieldError> {
    match fields.iter().find(|(_, given, kinds)| *given && !kinds.contains(&kind)) {
        None => Ok(()),
        Some((field, _, kinds)) => {
            let of: Vec<String> = kinds.iter().map(word).collect();
            let problem =
                format!("belongs to {}, and the {what} {}", of.join(" and "), word(&kind));
            Err(FieldError::value(*field, problem))
        }
    }
}
