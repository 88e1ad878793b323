//! Extraction from the command line, on the tiny model.

use crate::kit::{Folder, Run, binary, feed, trimtab};
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
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains("cannot be written: folder"), "{}", run.stderr);
        assert!(!run.stderr.contains("reading"), "{}", run.stderr);
    }
    std::fs::create_dir(case.folder.0.join("p.svg")).unwrap();
    let (picture, folder) = (case.folder.path("p.svg"), case.folder.path(""));
    for (out, plot) in [("x.safetensors", &picture), ("p.svg", &folder)] {
        let run = case.extract(out, &["--plot", plot]);
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains("is a folder, expected a file"), "{}", run.stderr);
    }
    assert_eq!(case.folder.names(), ["glad.jsonl", "p.svg", "tiny"]);
}

#[test]
fn an_unfinished_run_is_not_begun_anew_by_mistake() {
    let case = Case::new();
    let unfinished = case.folder.write("x.safetensors.partial", "hours of work");
    let run = case.extract("x.safetensors", &[]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("x.safetensors.partial: --resume goes on"), "{}", run.stderr);
    assert_eq!(std::fs::read_to_string(unfinished).unwrap(), "hours of work");
}

#[test]
fn outputs_are_not_the_data() {
    let case = Case::new();
    let before = case.bytes("glad.jsonl");
    let run = case.extract("glad.jsonl", &[]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("is --data"), "{}", run.stderr);
    let out = case.folder.path("x.safetensors");
    let run = case.extract("x.safetensors", &["--plot", &out]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert_eq!(case.bytes("glad.jsonl"), before);
    assert_eq!(case.folder.names(), ["glad.jsonl", "tiny"]);
}

#[test]
fn prompts_are_read_line_by_line_from_two_files() {
    let case = Case::new();
    let lines = |word: &str| -> String {
        (b'a'..=b'z')
            .flat_map(|c| [c, c - 32])
            .map(|c| format!("Be {word} {}\r\n", char::from(c)))
            .collect()
    };
    let positive = case.folder.write("glad.txt", &lines("glad"));
    let negative = case.folder.write("dull.txt", &lines("dull"));
    let out = case.folder.path("x.safetensors");
    let words = ["extract", "-m", &case.model, "-o", &out, "--json"];
    let files = ["--positive-file", &positive, "--negative-file", &negative];
    let made = document(&trimtab(&[&words[..], &files].concat()));
    assert_eq!(made["pairs"], 52);
    case.folder.write("dull.txt", "one\n");
    let uneven = trimtab(&[&words[..], &files].concat());
    assert_eq!(uneven.code, Some(3), "{}", uneven.stderr);
    assert!(uneven.stderr.contains("52 positive and 1 negative"), "{}", uneven.stderr);
    let alone = trimtab(&[&words[..], &files[..2]].concat());
    assert_eq!(alone.code, Some(2), "{}", alone.stderr);
}

#[test]
fn a_summary_is_shown_on_one_line() {
    let case = Case::new();
    let forged = "\u{1b}[2J\u{1b}]0;owned\u{7}x\r\nwarning    forged";
    document(&case.extract("x.safetensors", &["--summary", forged]));
    let shown = trimtab(&["inspect", &case.folder.path("x.safetensors")]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(!shown.stdout.contains(['\u{1b}', '\u{7}', '\r']), "{}", shown.stdout);
    assert!(!shown.stdout.lines().any(|line| line.starts_with("warning    forged")));
    let named = case.extract("y.safetensors", &["--name", "a\u{202e}b"]);
    assert!(named.code > Some(0), "{}", named.stderr);
    assert!(!named.stderr.contains('\u{202e}'), "{}", named.stderr);
}

#[test]
fn many_findings_are_told_in_few_lines() {
    let case = Case::new();
    let text = String::from_utf8(case.bytes("glad.jsonl")).unwrap();
    case.folder.write("glad.jsonl", &format!("{text}{text}"));
    let run = case.extract("x.safetensors", &[]);
    document(&run);
    let told: Vec<&str> = run.stderr.lines().filter(|line| line.contains("left out")).collect();
    assert_eq!(told.len(), 6, "{told:?}");
    assert_eq!(told[5], "warning: 55 more are left out, 60 in all");
}

#[test]
fn little_memory_gives_the_same_file() {
    let case = Case::new();
    for method in ["mean_difference", "linear_probe"] {
        let name = |memory: &str| format!("{memory}.safetensors");
        for (memory, summed) in [("1G", false), ("12K", true)] {
            let words = ["--method", method, "--name", "glad", "-v", "--state-memory", memory];
            let run = case.extract(&name(memory), &words);
            document(&run);
            assert_eq!(run.stderr.contains("they are summed"), summed, "{}", run.stderr);
        }
        assert!(case.bytes(&name("1G")) == case.bytes(&name("12K")), "{method}");
    }
    let run = case.extract("x.safetensors", &["--state-memory", "1K"]);
    assert!(run.stderr.contains("raise --state-memory"), "{}", run.stderr);
    let run = case.extract("x.safetensors", &["--state-memory", "some"]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
}

#[test]
fn examples_come_from_standard_input_and_repeats_are_counted() {
    let case = Case::new();
    let text = std::fs::read_to_string(&case.data).unwrap();
    let out = case.folder.path("glad.safetensors");
    let words = ["extract", "-m", &case.model, "--data", "-", "-o", &out, "--json"];
    // Every line twice: the second ones repeat.
    let run = feed(binary().args(words), &text.repeat(2));
    document(&run);
    assert_eq!(run.stderr.matches("repeats line").count(), 5, "{}", run.stderr);
    assert!(run.stderr.contains("55 more are left out, 60 in all"), "{}", run.stderr);
    // Shards of one job must agree on a name, which no file gives them here.
    let shard = [&words[..], &["--shard", "1/2"]].concat();
    let run = feed(binary().args(shard), &text);
    assert!(run.code == Some(2) && run.stderr.contains("--name is needed"), "{}", run.stderr);
    let run = feed(binary().args(words), "");
    assert!(run.code == Some(3) && run.stderr.contains("standard input"), "{}", run.stderr);
}
