//! The results file: one JSON line for each finished run of an arm, so that a stopped program goes on where it was.

use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What makes two runs the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub policy: String,
    pub arm: String,
    pub seed: u64,
    pub tokens: usize,
    pub prompts: usize,
}

/// One answer: its figures by name, and its text.
#[derive(Debug, Clone, Default)]
pub struct Row {
    pub figures: Vec<(&'static str, f64)>,
    pub text: String,
}

/// All finished runs.
pub struct Store {
    path: PathBuf,
    runs: Vec<(Key, Value)>,
}

impl Store {
    pub fn open(path: &Path) -> Result<Store> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            other => other?,
        };
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let runs = lines.map(|line| {
            let value: Value = serde_json::from_str(line)?;
            Ok((key(&value), value))
        });
        Ok(Store { path: path.to_owned(), runs: runs.collect::<Result<_>>()? })
    }

    pub fn add(&mut self, key: &Key, rows: &[Row]) -> Result<()> {
        let row = |row: &Row| {
            let mut value = json!({ "text": row.text });
            row.figures.iter().for_each(|(name, figure)| value[*name] = json!(figure));
            value
        };
        let Key { policy, arm, seed, tokens, prompts } = key;
        let rows: Vec<Value> = rows.iter().map(row).collect();
        let value = json!({
            "policy": policy, "arm": arm, "seed": seed, "tokens": tokens, "prompts": prompts, "rows": rows,
        });
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        writeln!(file, "{value}")?;
        self.runs.push((key.clone(), value));
        Ok(())
    }

    pub fn has(&self, key: &Key) -> bool {
        self.runs.iter().any(|(known, _)| known == key)
    }

    /// A figure by prompt, in the order of the seeds that are there.
    pub fn figures(&self, key: &Key, seeds: &[u64], name: &str) -> Vec<Vec<Option<f64>>> {
        let of = |seed: &u64, prompt: usize| {
            let key = Key { seed: *seed, ..key.clone() };
            let (_, run) = self.runs.iter().find(|(known, _)| *known == key)?;
            run["rows"].get(prompt)?[name].as_f64()
        };
        (0..key.prompts).map(|prompt| seeds.iter().map(|s| of(s, prompt)).collect()).collect()
    }

    /// The sum of a figure over all prompts of one run.
    pub fn sum(&self, key: &Key, name: &str) -> Option<f64> {
        let (_, run) = self.runs.iter().find(|(known, _)| known == key)?;
        Some(run["rows"].as_array()?.iter().filter_map(|row| row[name].as_f64()).sum())
    }
}

fn key(value: &Value) -> Key {
    let word = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| value[name].as_u64().unwrap_or_default();
    Key {
        policy: word("policy"),
        arm: word("arm"),
        seed: number("seed"),
        tokens: number("tokens") as usize,
        prompts: number("prompts") as usize,
    }
}
