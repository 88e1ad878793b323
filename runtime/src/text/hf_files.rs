//! The small files beside a `tokenizer.json`: which tokens begin and end a text, and chat templates.

use super::error::{Error, Result};
use super::pretokenizer::Bos;
use serde_json::Value;
use std::path::Path;

/// What the files beside `tokenizer.json` say.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    pub(crate) bos: Option<String>,
    pub(crate) eos: Option<String>,
    pub(crate) adds_bos: Option<Bos>,
    /// Ids of `generation_config.json` that end a generation.
    pub(crate) ends: Vec<u32>,
}

impl Beside {
    /// Reads what exists; files that do not are not missed.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let config = optional_json(&folder.join("tokenizer_config.json"))?;
        let map = optional_json(&folder.join("special_tokens_map.json"))?;
        let generation = optional_json(&folder.join("generation_config.json"))?;
        let name = |key: &str| token_name(config.get(key)).or_else(|| token_name(map.get(key)));
        Ok(Self {
            bos: name("bos_token"),
            eos: name("eos_token"),
            adds_bos: match config.get("add_bos_token").and_then(Value::as_bool) {
                Some(true) => Some(Bos::Add),
                Some(false) => Some(Bos::Leave),
                None => None,
            },
            ends: ids(generation.get("eos_token_id")),
        })
    }
}

/// A token's name, written as a string or as an object with `content`.
fn token_name(value: Option<&Value>) -> Option<String> {
    let value = value?;
    let text = value.as_str().or_else(|| value.get("content")?.as_str())?;
    Some(text.to_owned())
}

fn ids(value: Option<&Value>) -> Vec<u32> {
    let list = match value {
        Some(Value::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    list.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()).collect()
}

/// The text of a file, `None` if there is no such file.
pub(crate) fn optional_text(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
    }
}

/// A JSON file, null if there is no such file.
pub(crate) fn optional_json(path: &Path) -> Result<Value> {
    let Some(text) = optional_text(path)? else {
        return Ok(Value::Null);
    };
    serde_json::from_str(&text).map_err(|source| Error::Json { path: path.to_owned(), source })
}
