//! `models info` of a model that this build cannot run: what its files say of themselves, and why it does not run.

use super::tensors::{by_type, megabytes};
use crate::commands::table::markdown;
use crate::console::Console;
use crate::document::head;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;
use trimtab_runtime::decoder::weights::Weights;
use trimtab_runtime::decoder::weights::metadata::Value;
use trimtab_runtime::printable::Line;

/// Characters of a value that are shown.
const SHOWN: usize = 80;

/// Describes the files of a model that was refused. Of the keys of a GGUF, or the fields of `config.json`, that are arrays
/// and objects only the size is told.
pub fn run(path: &Path, weights: &Weights, error: &Error, console: &Console) -> Result<()> {
    let (tensors, metadata) = (by_type(weights), metadata(weights));
    console.warn(format!("this model cannot be run here: {error}"));
    if console.is_json() {
        let document = head("models info", None)
            .with("path", path)
            .with("refused", error.to_string())
            .with("tensors", tensors)
            .with("file_bytes", weights.file_bytes())
            .with("metadata", metadata);
        return console.print(&document);
    }
    let on_disk = format!("{} on disk", megabytes(weights.file_bytes()));
    let mut rows =
        vec![["path".to_owned(), path.display().to_string()], ["weights".to_owned(), on_disk]];
    rows.extend(tensors.iter().map(|kind| ["tensors".to_owned(), kind.line()]));
    rows.extend(metadata.into_iter().map(|(key, value)| [key, value]));
    console.say_line(markdown("what;value", rows))
}

fn metadata(weights: &Weights) -> BTreeMap<String, String> {
    let gguf = weights.metadata().into_iter().flat_map(|m| m.iter());
    let gguf = gguf.map(|(key, value)| (Line(key).to_string(), of_gguf(value)));
    let config = weights.config().and_then(serde_json::Value::as_object).into_iter().flatten();
    let config = config.map(|(key, value)| (Line(key).to_string(), of_json(value)));
    gguf.chain(config).collect()
}

fn of_gguf(value: &Value) -> String {
    match value {
        Value::Unsigned(n) => n.to_string(),
        Value::Signed(n) => n.to_string(),
        Value::Float(x) => x.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Text(text) => short(text),
        Value::Texts(list) => format!("{} strings", list.len()),
        Value::Integers(list) => format!("{} integers", list.len()),
        Value::Floats(list) => format!("{} floats", list.len()),
        Value::Bools(list) => format!("{} booleans", list.len()),
    }
}

fn of_json(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Array(list) => format!("{} values", list.len()),
        serde_json::Value::Object(map) => format!("{} fields", map.len()),
        serde_json::Value::String(text) => short(text),
        plain => plain.to_string(),
    }
}

fn short(text: &str) -> String {
    let head: String = text.chars().take(SHOWN).collect();
    let more = if head.len() < text.len() { "…" } else { "" };
    format!("{}{more}", Line(&head))
}
