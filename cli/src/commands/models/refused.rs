//! `models info` of a model that this build cannot run: what its files say of themselves, and why it does not run.

use super::tensors::{Tensors, by_type};
use crate::commands::table::{Column, markdown};
use crate::console::Console;
use crate::document::Head;
use crate::error::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use trimtab_runtime::decoder::weights::Weights;
use trimtab_runtime::decoder::weights::metadata::Value;
use trimtab_runtime::printable::Line;

/// Characters of a value that are shown.
const SHOWN: usize = 80;

#[derive(Serialize)]
struct Refused {
    #[serde(flatten)]
    head: Head,
    path: PathBuf,
    /// Why it does not run.
    refused: String,
    tensors: Vec<Tensors>,
    file_bytes: u64,
    /// Keys of the GGUF, or fields of `config.json`; of arrays and objects only the size.
    metadata: BTreeMap<String, String>,
}

/// Describes the files of a model that was refused.
pub fn run(path: PathBuf, weights: &Weights, error: &Error, console: &Console) -> Result<()> {
    let about = Refused {
        head: Head::bare("models info"),
        path,
        refused: error.to_string(),
        tensors: by_type(weights),
        file_bytes: weights.file_bytes(),
        metadata: metadata(weights),
    };
    console.warn(format!("this model cannot be run here: {}", about.refused));
    if console.is_json() {
        return console.print(&about);
    }
    let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    let mut rows = vec![
        vec!["path".to_owned(), about.path.display().to_string()],
        vec!["weights".to_owned(), format!("{} on disk", mb(about.file_bytes))],
    ];
    for kind in &about.tensors {
        let text = format!("{} {}, {}", kind.tensors, kind.name, mb(kind.bytes as u64));
        rows.push(vec!["tensors".to_owned(), text]);
    }
    rows.extend(about.metadata.into_iter().map(|(key, value)| vec![key, value]));
    console.say_line(markdown(&[Column::Left("what"), Column::Left("value")], rows))
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
