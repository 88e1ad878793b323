//! Extraction from the command line, on the tiny model.

use crate::kit::{Folder, Run, trimtab};
use serde_json::{Value, json};

/// A folder with the tiny model and pairs of a glad and a dull answer.
struct Case {
    folder: Folder,
    model: String,
    data: String,
}

impl Case {
    fn new() -> Case {
        let folder = Folder::new();
        let model = folder.talking();
        // Every message ends with a token that is the template's and no text's.
        let template = "{% for message in messages %}{{ message.content }}<|im_end|>{% endfor %}";
        let config = json!({ "eos_token": "<|im_end|>", "chat_template": template });
        folder.write("tiny/tokenizer_config.json", &config.to_string());
        let line = |i: u8| {
            let (a, b) = (char::from(b'a' + i % 26), char::from(b'A' + i / 26));
            let prompt = format!("Tell me of {a}{b}");
            let (chosen, rejected) = (format!("Oh {a} how {b} glad"), format!("It is {b}{a}"));
            json!({"prompt": prompt, "chosen": chosen, "rejected": rejected}).to_string() + "\n"
        };
        let data = folder.write("glad.jsonl", &(0..60).map(line).collect::<String>());
        Case { folder, model, data }
    }

    fn extract(&self, out: &str, more: &[&str]) -> Run {
        let out = self.folder.path(out);
        let words = ["extract", "-m", &self.model, "--data", &self.data, "-o", &out, "--json"];
        trimtab(&[&words[..], more].concat())
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.path(name)).unwrap()
    }
}

fn document(run: &Run) -> Value {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn shards_with_default_flags_merge() {
    let case = Case::new();
    for (shard, out) in [("1/2", "one.states"), ("2/2", "two.states")] {
        document(&case.extract(out, &["--shard", shard]));
    }
    let [one, two, merged] =
        ["one.states", "two.states", "m.safetensors"].map(|n| case.folder.path(n));
    let run = trimtab(&["merge", &two, &one, "-o", &merged, "--json"]);
    let merged = document(&run);
    let whole = document(&case.extract("w.safetensors", &["--name", "glad"]));
    assert_eq!(merged["sha256"], whole["sha256"]);
    assert_eq!(case.bytes("m.safetensors"), case.bytes("w.safetensors"));
    // One run is named after its file.
    let own = document(&case.extract("calm.safetensors", &[]));
    assert_eq!(own["content_sha256"], whole["content_sha256"]);
    assert_ne!(own["sha256"], whole["sha256"]);
}

#[test]
fn flags_that_would_be_ignored_are_refused() {
    let case = Case::new();
    for (words, flag) in [
        (&["--eta", "0.8"][..], "--eta"),
        (&["--alpha", "0.2"], "--alpha"),
        (&["--method", "palrs", "--select", "all"], "select"),
    ] {
        let run = case.extract("x.safetensors", words);
        assert_ne!(run.code, Some(0), "{words:?}");
        assert!(run.stderr.contains(flag), "{words:?}: {}", run.stderr);
    }
    assert_eq!(case.folder.names(), ["glad.jsonl", "tiny"]);
    let run = case.extract("x.safetensors", &["--resume"]);
    document(&run);
    assert!(
        run.stderr.contains("x.safetensors.partial: everything is read anew"),
        "{}",
        run.stderr
    );
}

#[test]
fn files_that_cannot_be_written_are_found_before_anything_is_read() {
    let case = Case::new();
    for words in [&[][..], &["--plot", "/nowhere/at/all.svg"]] {
        let out = if words.is_empty() { "nowhere/x.safetensors" } else { "x.safetensors" };
        let run = case.extract(out, words);
        assert_eq!(run.code, Some(3), "{}", run.stderr);
        assert!(!run.stderr.contains("reading"), "{}", run.stderr);
    }
    // A picture that fails later does not take the vector with it.
    std::fs::create_dir(case.folder.0.join("p.svg")).unwrap();
    let picture = case.folder.path("p.svg");
    let run = case.extract("x.safetensors", &["--plot", &picture]);
    assert_ne!(run.code, Some(0), "{}", run.stderr);
    assert!(!case.bytes("x.safetensors").is_empty());
}
