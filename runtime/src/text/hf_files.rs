//! The small files beside a `tokenizer.json`: which tokens begin and end a text, and chat templates.

use super::error::{Error, Result, malformed};
use super::pretokenizer::Bos;
use crate::filetype;
use serde_json::Value;
use std::path::Path;

/// Bytes of such a file: some describe every one of thousands of tokens.
const LIMIT: u64 = 64 << 20;

/// What the files beside `tokenizer.json` say.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    pub(crate) bos: Option<String>,
    pub(crate) eos: Option<String>,
    pub(crate) adds_bos: Option<Bos>,
    /// Ids of `generation_config.json` that end a generation, or of `config.json` where there are none.
    pub(crate) ends: Vec<u32>,
    /// `added_tokens_decoder`: added tokens by id, as entries of `added_tokens`.
    pub(crate) added: Vec<Value>,
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
            ends: match ids(generation.get("eos_token_id")) {
                ends if ends.is_empty() => of_model(&folder.join("config.json"))?,
                ends => ends,
            },
            added: added(config.get("added_tokens_decoder"))?,
        })
    }
}

/// The ids of `config.json`, where models with images describe their language model in `text_config`.
fn of_model(path: &Path) -> Result<Vec<u32>> {
    let model = optional_json(path)?;
    let text = model.get("text_config").and_then(|text| text.get("eos_token_id"));
    Ok(ids(model.get("eos_token_id").filter(|id| !id.is_null()).or(text)))
}

fn added(decoder: Option<&Value>) -> Result<Vec<Value>> {
    let entry = |(id, token): (&String, &Value)| {
        let mut entry = token.as_object()?.clone();
        entry.insert("id".to_owned(), id.parse::<u32>().ok()?.into());
        let special = entry.get("special").and_then(Value::as_bool).unwrap_or(false);
        let flags = [("special", false), ("normalized", !special)];
        let usual =
            flags.into_iter().chain(["lstrip", "rstrip", "single_word"].map(|k| (k, false)));
        usual.for_each(|(key, value)| {
            entry.entry(key).or_insert(value.into());
        });
        Some(Value::Object(entry))
    };
    let entries = decoder.and_then(Value::as_object).into_iter().flatten();
    let mut entries: Vec<Value> = entries
        .map(entry)
        .collect::<Option<_>>()
        .ok_or_else(|| malformed("added_tokens_decoder"))?;
    entries.sort_by_key(|entry| entry.get("id").and_then(Value::as_u64));
    Ok(entries)
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
    match filetype::read_text(path, LIMIT).map_err(std::io::Error::from) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_tokens_come_from_the_model_where_generation_names_none() {
        let folder = std::env::temp_dir().join(format!("trimtab-ends-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let ends = |model: &str, generation: &str| {
            std::fs::write(folder.join("config.json"), model).unwrap();
            std::fs::write(folder.join("generation_config.json"), generation).unwrap();
            Beside::read(&folder.join("tokenizer.json")).unwrap().ends
        };
        let inner = r#"{"eos_token_id": null, "text_config": {"eos_token_id": 7}}"#;
        assert_eq!(ends(r#"{"eos_token_id": [5, 6]}"#, "{}"), [5, 6]);
        assert_eq!(ends(r#"{"eos_token_id": [5, 6]}"#, r#"{"eos_token_id": 1}"#), [1]);
        assert_eq!((ends(inner, "{}"), ends("{}", "{}")), (vec![7], Vec::new()));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
