//! Columns that hold JSON documents as text.
//!
//! A document is checked on its way in and kept byte for byte, so that a receipt read back is the receipt that was
//! given out, whatever order its keys have.

use crate::{Error, Result};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

/// Refuses a text that is no JSON document.
pub(super) fn check(field: &'static str, text: &str) -> Result<()> {
    let parsed: Result<IgnoredAny, _> = serde_json::from_str(text);
    parsed.map(|_| ()).map_err(|source| Error::Document { field, source })
}

/// A value of ours as a document.
pub(super) fn write<T: Serialize>(field: &'static str, value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|source| Error::Document { field, source })
}

/// A document that [`write`] has made.
pub(super) fn read<T: DeserializeOwned>(field: &'static str, text: &str) -> Result<T> {
    let damaged = |error| Error::Damaged { reason: format!("{field}: {error}") };
    serde_json::from_str(text).map_err(damaged)
}
