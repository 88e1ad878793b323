//! Answers on disk: one JSON line each, so that a stopped program goes on where it was.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What makes two answers the same: a setting's name, a prompt's place and which of several answers it is.
pub type Key = (String, usize, usize);

/// An answer, and the pooled activations where they were recorded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kept {
    pub text: String,
    pub tokens: usize,
    pub ended: bool,
    pub pooled: Vec<f32>,
}

/// All answers of one model.
pub struct Cache {
    path: PathBuf,
    answers: HashMap<Key, Kept>,
}

impl Cache {
    /// Reads what is there. A line that a stopped program left unfinished is passed over.
    pub fn open(path: &Path) -> Result<Cache> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            other => other?,
        };
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let read = whole.lines().filter_map(|line| serde_json::from_str(line).ok());
        let answers = read.map(|value: Value| (key(&value), kept(&value))).collect();
        if !text.is_empty() && !text.ends_with('\n') {
            writeln!(OpenOptions::new().append(true).open(path)?)?;
        }
        Ok(Cache { path: path.to_owned(), answers })
    }

    pub fn get(&self, setting: &str, prompt: usize, sample: usize) -> Option<&Kept> {
        self.answers.get(&(setting.to_owned(), prompt, sample))
    }

    pub fn has(&self, key: &Key) -> bool {
        self.answers.contains_key(key)
    }

    pub fn add(&mut self, key: Key, kept: Kept) -> Result<()> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let (setting, prompt, sample) = &key;
        let Kept { text, tokens, ended, pooled } = &kept;
        let mut value = json!({
            "setting": setting, "prompt": prompt, "sample": sample,
            "text": text, "tokens": tokens, "ended": ended,
        });
        if !pooled.is_empty() {
            value["pooled"] = json!(pooled);
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        // In one piece, so that programs may share a file.
        file.write_all(format!("{value}\n").as_bytes())?;
        self.answers.insert(key, kept);
        Ok(())
    }
}

fn key(value: &Value) -> Key {
    let number = |name: &str| value[name].as_u64().unwrap_or_default() as usize;
    let setting = value["setting"].as_str().unwrap_or_default().to_owned();
    (setting, number("prompt"), number("sample"))
}

fn kept(value: &Value) -> Kept {
    let pooled = value["pooled"].as_array().map(Vec::as_slice).unwrap_or_default();
    Kept {
        text: value["text"].as_str().unwrap_or_default().to_owned(),
        tokens: value["tokens"].as_u64().unwrap_or_default() as usize,
        ended: value["ended"].as_bool().unwrap_or_default(),
        pooled: pooled.iter().filter_map(Value::as_f64).map(|x| x as f32).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_a_torn_line_is_made_again() {
        let folder = std::env::temp_dir().join(format!("trimtab-cache-{}", std::process::id()));
        let path = folder.join("answers.jsonl");
        let one = Kept { text: "a\nb".into(), tokens: 3, ended: true, pooled: vec![0.5] };
        Cache::open(&path).unwrap().add(("plain".into(), 1, 0), one.clone()).unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        write!(file, "{{\"setting\":\"plain\",\"pro").unwrap();
        let mut cache = Cache::open(&path).unwrap();
        assert_eq!(cache.get("plain", 1, 0), Some(&one));
        assert!(!cache.has(&("plain".into(), 2, 0)));
        cache.add(("plain".into(), 2, 0), Kept::default()).unwrap();
        assert!(Cache::open(&path).unwrap().has(&("plain".into(), 2, 0)));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
