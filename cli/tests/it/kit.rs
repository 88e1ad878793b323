//! Running the binary, and the tiny model.

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use trimtab_runtime::testing::tiny;

/// What a run came to.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The binary, with none of our variables set.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trimtab"));
    #[allow(clippy::disallowed_methods)] // the caller's own settings must not count
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TRIMTAB_") {
            command.env_remove(name);
        }
    }
    for name in ["COLUMNS", "NO_COLOR", "CLICOLOR_FORCE", "HF_HUB_OFFLINE"] {
        command.env_remove(name);
    }
    command
}

/// Runs a command with this on its standard input.
pub fn feed(command: &mut Command, stdin: &str) -> Run {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that reads nothing may be gone before it is fed.
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).ok();
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the binary with these words.
pub fn trimtab(words: &[&str]) -> Run {
    feed(binary().args(words), "")
}

/// A folder that is gone when this is dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "trimtab-cli-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.join(name), text).unwrap();
        self.path(name)
    }

    /// Writes the tiny model here.
    pub fn tiny(&self) -> String {
        tiny::write(&self.0.join("tiny")).unwrap();
        self.path("tiny")
    }

    /// Writes the tiny model with a tokenizer of letters, digits and the space, and a template.
    pub fn talking(&self) -> String {
        let model = self.tiny();
        let letters = ('a'..='z').chain('A'..='Z').chain('0'..='9').map(String::from);
        let spellings = letters.chain(["<|im_end|>".to_owned(), "\u{120}".to_owned()]);
        let mut vocab: Map<String, Value> =
            spellings.enumerate().map(|(id, text)| (text, id.into())).collect();
        vocab.remove("<|im_end|>");
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
            "added_tokens": [{
                "id": tiny::END, "content": "<|im_end|>", "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true,
            }],
            "pre_tokenizer": byte_level(), "post_processor": null, "decoder": byte_level(),
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false,
                "continuing_subword_prefix": null, "end_of_word_suffix": null,
                "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": [],
            },
        });
        let template = "{% for message in messages %}{{ message.content }} {% endfor %}";
        let config = json!({ "eos_token": "<|im_end|>", "chat_template": template });
        self.write("tiny/tokenizer.json", &tokenizer.to_string());
        self.write("tiny/tokenizer_config.json", &config.to_string());
        model
    }

    /// Writes a safetensors file without a header: rows of the tiny model's width, by name.
    pub fn bare(&self, name: &str, rows: &[(&str, f32)]) -> String {
        let row = |length: &f32| -> Vec<u8> {
            let mut row = [0.0_f32; tiny::WIDTH];
            row[1] = 0.6 * length;
            row[2] = -0.8 * length;
            row.iter().flat_map(|v| v.to_le_bytes()).collect()
        };
        let stored: Vec<(String, Vec<u8>)> =
            rows.iter().map(|(name, length)| ((*name).to_owned(), row(length))).collect();
        let views = stored.iter().map(|(name, bytes)| {
            (name.clone(), TensorView::new(Dtype::F32, vec![tiny::WIDTH], bytes).unwrap())
        });
        safetensors::serialize_to_file(views, None, &self.0.join(name)).unwrap();
        self.path(name)
    }

    /// Writes a vector file for the model at this path, by the program's own import.
    pub fn vector(&self, name: &str, model: &str, rows: &[(&str, f32)]) -> String {
        let bare = self.bare(&format!("{name}.bare"), rows);
        let out = self.path(&format!("{name}.safetensors"));
        let words = ["import", &bare, "-m", model, "--op", "add", "--name", name, "-o", &out];
        let run = trimtab(&words);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        std::fs::remove_file(bare).unwrap();
        out
    }

    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

fn byte_level() -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true })
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A document with everything that differs between machines and runs replaced: numbers, the commit, the
/// processor, and the folder.
pub fn masked(document: &str, folder: &Path) -> String {
    let mut text = document.replace(folder.to_str().unwrap(), "FOLDER");
    for (before, mask) in [("\"git\":\"", "GIT"), ("\"kind\":\"cpu\",\"name\":\"", "CPU")] {
        if let Some(at) = text.find(before) {
            let from = at + before.len();
            let len = text[from..].find('"').unwrap();
            text.replace_range(from..from + len, mask);
        }
    }
    // Linux alone says the processor's name and the peak of memory.
    text = text.replace("\"kind\":\"cpu\",\"name\":null", "\"kind\":\"cpu\",\"name\":\"CPU\"");
    text = text.replace("\"peak_rss_bytes\":null", "\"peak_rss_bytes\":0");
    without_numbers(&text)
}

fn without_numbers(text: &str) -> String {
    let (mut out, mut inside) = (String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '"' {
            inside = !inside;
        }
        if inside || !c.is_ascii_digit() {
            out.push(c);
            continue;
        }
        while chars.next_if(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | '-' | '+')).is_some()
        {
        }
        out.push('0');
    }
    out
}
