//! What a response's headers say of a request: fields that nothing is done with, and what may not be what was meant.

use crate::headers::{IGNORED, WARNING};
use crate::wire::rest::{Rest, names};
use axum::http::HeaderValue;
use axum::response::{IntoResponseParts, ResponseParts};
use std::collections::BTreeSet;
use std::convert::Infallible;

/// Names of ignored fields that are told, and the characters of each.
const MOST_NAMES: usize = 16;
const LONGEST_NAME: usize = 64;

/// Names of fields that nothing is done with: few, short, and fit for a header. Of more, their number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ignored {
    told: Vec<String>,
    all: BTreeSet<String>,
    /// Sentences about what may not be what was meant.
    warnings: Vec<String>,
}

impl Ignored {
    /// Notes the fields of an object.
    pub(crate) fn note(&mut self, object: &str, rest: &Rest) {
        names(rest).for_each(|name| self.add(object, name));
    }

    pub(crate) fn add(&mut self, object: &str, name: &str) {
        let name = if object.is_empty() { name.to_owned() } else { format!("{object}.{name}") };
        let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let safe = name.chars().take(LONGEST_NAME).map(|c| if fit(c) { c } else { '?' });
        let safe: String = safe.collect();
        if self.all.insert(safe.clone()) && self.told.len() < MOST_NAMES {
            self.told.push(safe);
        }
    }

    /// Notes something that may not be what was meant.
    pub(crate) fn warn(&mut self, sentence: &str) {
        let safe = sentence.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' });
        self.warnings.push(safe.collect());
    }

    /// Whether something was noted that may not be what was meant.
    pub(crate) fn warns(&self) -> bool {
        !self.warnings.is_empty()
    }

    /// The names, and how many more there are.
    pub(crate) fn names(&self) -> Vec<String> {
        let more = self.all.len() - self.told.len();
        let more = (more > 0).then(|| format!("+{more}"));
        self.told.iter().cloned().chain(more).collect()
    }
}

/// The names and sentences become headers of the response.
impl IntoResponseParts for Ignored {
    type Error = Infallible;

    fn into_response_parts(self, mut response: ResponseParts) -> Result<ResponseParts, Infallible> {
        for (name, text) in [(IGNORED, self.names().join(",")), (WARNING, self.warnings.join("; "))]
        {
            if let (false, Ok(value)) = (text.is_empty(), HeaderValue::from_str(&text)) {
                response.headers_mut().insert(name, value);
            }
        }
        Ok(response)
    }
}
