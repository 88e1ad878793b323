//! Models as users have them: under other names, in a folder, and some that cannot be run.

use crate::kit::{Folder, trimtab};
use serde_json::Value;

#[test]
fn a_gguf_needs_no_extension_and_its_folder_stands_for_it() {
    let folder = Folder::new();
    let path = |model: &str| trimtab(&["models", "path", model]);
    let blob = folder.write("sha256-0f3a", "GGUF");
    assert_eq!(path(&blob).stdout, format!("{blob}\n"));
    std::fs::remove_file(blob).unwrap();
    let inside = folder.write("m.gguf", "GGUF");
    let found = path(folder.path("").trim_end_matches('/'));
    assert_eq!(found.stdout, format!("{inside}\n"), "{}", found.stderr);
    let pointer = folder.write("pointer", "version https://git-lfs.github.com/spec/v1\n");
    let refused = path(&pointer);
    assert_eq!(refused.code, Some(3));
    assert!(refused.stderr.contains("it is a Git LFS pointer"), "{}", refused.stderr);
}

#[test]
fn what_cannot_be_run_is_described_all_the_same() {
    let folder = Folder::new();
    let model = folder.tiny();
    let file = folder.path("tiny/config.json");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, config.replace("\"llama\"", "\"mamba\"")).unwrap();
    let run = trimtab(&["models", "info", &model, "--json"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let document: Value = serde_json::from_str(&run.stdout).unwrap();
    let refused = document["refused"].as_str().unwrap();
    assert!(
        refused.starts_with("model_type \"mamba\" is not supported; known: llama"),
        "{refused}"
    );
    assert_eq!(document["metadata"]["hidden_size"], "16");
    assert_eq!(document["tensors"][0]["type"], "F32");
    assert!(run.stderr.contains("warning: this model cannot be run here"), "{}", run.stderr);
    let table = trimtab(&["models", "info", &model]);
    assert!(
        table.stdout.contains("model_type") && table.stdout.contains("F32"),
        "{}",
        table.stdout
    );
    let used = trimtab(&["bench", "-m", &model, "-p", "4", "-n", "0"]);
    assert_eq!(used.code, Some(3));
}

#[test]
fn threads_without_number_are_lowered_with_a_warning() {
    let folder = Folder::new();
    let model = folder.tiny();
    let words = ["bench", "-m", &model, "-p", "4", "-n", "0", "-r", "1", "-t", "100000"];
    let run = trimtab(&words);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("warning: --threads 100000: "), "{}", run.stderr);
}
