//! Where results go, and what comes out of files onto a terminal.

use crate::kit::{Folder, binary, feed, trimtab};
use serde_json::Value;

fn case() -> (Folder, String, String) {
    let folder = Folder::new();
    let model = folder.tiny();
    let vector = folder.vector("calm", &model, &[("resid_post.1", 2.0)]);
    (folder, model, vector)
}

#[test]
fn inputs_are_not_overwritten() {
    let (folder, model, vector) = case();
    let rows = folder.write("rows.jsonl", "{\"text\":\"a\"}\n");
    let before = std::fs::read(&vector).unwrap();
    let weights = format!("{model}/model.safetensors");
    let spelled = format!("{}/./calm.safetensors", folder.0.display());
    for words in [
        &["export", &vector, "--to", "gguf", "-o", &vector][..],
        &["import", &vector, "--op", "add", "-o", &spelled],
        &["compose", &vector, "-o", &vector],
        &["capture", "-m", &model, "--data", &rows, "--sites", "embed", "-o", &rows],
        &["capture", "-m", &model, "--token-ids", "1", "--sites", "embed", "-o", &weights],
        &["verify", &vector, "-m", &model, "--report", &vector],
        &["merge", &vector, "-o", &vector],
        &["eval", &vector, "-m", &model, "--data", &rows, "--answers", &rows],
        &["eval", &vector, "-m", &model, "--data", &rows, "--plot", &vector],
    ] {
        let run = trimtab(words);
        assert_eq!(run.code, Some(2), "{words:?}: {}", run.stderr);
        assert!(run.stderr.contains("would be overwritten"), "{words:?}: {}", run.stderr);
    }
    assert_eq!(std::fs::read(&vector).unwrap(), before);
    assert_eq!(std::fs::read_to_string(&rows).unwrap(), "{\"text\":\"a\"}\n");
    assert_eq!(folder.names(), ["calm.safetensors", "rows.jsonl", "tiny"]);
}

#[test]
fn a_model_is_not_opened_for_what_cannot_be_written() {
    let (folder, model, vector) = case();
    let nowhere = folder.path("no/x");
    for words in [
        &["import", &vector, "-m", &model, "--op", "add", "-o", &nowhere][..],
        &["export", &vector, "--to", "gguf", "-o", &nowhere],
        &["verify", &vector, "-m", &model, "--report", &nowhere],
        &["capture", "-m", &model, "--token-ids", "1", "--sites", "embed", "-o", &nowhere],
    ] {
        let run = trimtab(words);
        assert_eq!(run.code, Some(2), "{words:?}: {}", run.stderr);
        assert!(run.stderr.contains("cannot be written: folder"), "{words:?}: {}", run.stderr);
        assert!(!run.stderr.contains(".trimtab-"), "no name of ours: {}", run.stderr);
    }
}

#[cfg(unix)]
#[test]
fn pipes_and_links_stay_what_they_are() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let (folder, model, vector) = case();
    let pipe = folder.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = {
        let pipe = pipe.clone();
        std::thread::spawn(move || std::fs::read(pipe).unwrap())
    };
    let words = ["export", &vector, "--to", "gguf", "-o"];
    let run = trimtab(&[&words[..], &[&pipe]].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let plain = folder.path("plain.gguf");
    trimtab(&[&words[..], &[&plain]].concat());
    assert_eq!(reader.join().unwrap(), std::fs::read(&plain).unwrap());
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
    // A capture is not written from its beginning to its end.
    let rows = ["capture", "-m", &model, "--token-ids", "1", "--sites", "embed", "-o", &pipe];
    let run = trimtab(&rows);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
    symlink("plain.gguf", folder.0.join("link")).unwrap();
    let link = folder.path("link");
    std::fs::write(&plain, "old").unwrap();
    assert_eq!(trimtab(&[&words[..], &[&link]].concat()).code, Some(0));
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(std::fs::read(&plain).unwrap().starts_with(b"GGUF"));
}

#[cfg(target_os = "linux")]
#[test]
fn standard_output_holds_a_result_and_nothing_else() {
    let (_folder, _, vector) = case();
    let words = ["export", &vector, "--to", "gguf", "-o", "/dev/stdout"];
    let mut command = binary();
    let output = command.args(words).stdin(std::process::Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(output.stdout.starts_with(b"GGUF") && said.contains("mode       add"), "{said}");
    let json = trimtab(&[&words[..], &["--json"]].concat());
    assert_eq!(json.code, Some(2), "{}", json.stderr);
}

#[test]
fn text_from_a_card_is_one_line() {
    let folder = Folder::new();
    let forged = "\u{1b}[2J\u{1b}]0;owned\u{7}x\r\nwarning    forged";
    let svec = serde_json::json!({"model_type": forged, "directions": {"1": [3.0, 4.0]}});
    let file = folder.write("calm.svec", &format!("\u{feff}{svec}"));
    let out = folder.path("calm.safetensors");
    let run = trimtab(&["import", &file, "-o", &out]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(!run.stdout.contains('\u{1b}'), "{}", run.stdout);
    let shown = trimtab(&["inspect", &out, &out, "--json"]);
    let document: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(document["files"].as_array().unwrap().len(), 2);
    let name = "a\u{202e}b";
    let refused = trimtab(&["import", &file, "--name", name, "-o", &out]);
    assert!(!refused.stderr.contains('\u{202e}'), "{}", refused.stderr);
}

#[test]
fn files_given_by_mistake_are_named() {
    let (folder, model, vector) = case();
    let pointer =
        folder.write("p.gguf", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
    let page = folder.write("page", "<!DOCTYPE html><html></html>\n");
    for (words, what) in [
        (&["inspect", &pointer][..], "Git LFS pointer"),
        (&["import", &page, "--op", "add"], "HTML page"),
        (&["generate", "-m", &pointer, "-p", "a"], "Git LFS pointer"),
        (&["capture", "-m", &model, "--data", &page, "--sites", "embed", "-o", "x"], "HTML page"),
        (&["extract", "-m", &model, "--data", &pointer, "-o", "x"], "Git LFS pointer"),
        (&["extract", "-m", &model, "--data", &page, "-o", "x"], "HTML page"),
        (&["eval", &vector, "-m", &model, "--data", &pointer], "Git LFS pointer"),
        (&["generate", "-m", &model, "-p", "a", "--monitor", &page], "HTML page"),
    ] {
        let run = feed(binary().current_dir(&folder.0).args(words), "");
        assert_eq!(run.code, Some(3), "{words:?}: {}", run.stderr);
        assert!(run.stderr.contains(what), "{words:?}: {}", run.stderr);
    }
    let policy = trimtab(&["policy", "check", &pointer]);
    assert_ne!(policy.code, Some(0), "{}", policy.stderr);
    assert!(policy.stderr.contains("Git LFS pointer"), "{}", policy.stderr);
    assert!(!folder.names().contains(&"x".to_owned()));
}

#[test]
fn a_capture_names_the_line_it_refuses() {
    let folder = Folder::new();
    let model = folder.talking();
    let out = folder.path("x");
    let captured = |rows: &str| {
        let data = folder.write("rows.jsonl", rows);
        trimtab(&["capture", "-m", &model, "--data", &data, "--sites", "embed", "-o", &out])
    };
    let empty = captured("{\"text\":\"a\"}\n\n{\"text\":\"\"}\n");
    assert_eq!(empty.code, Some(3), "{}", empty.stderr);
    assert!(empty.stderr.contains("rows.jsonl line 3 has no token"), "{}", empty.stderr);
    let long = captured(&format!("{{\"text\":\"{}\"}}\n", "a".repeat(9000)));
    assert_eq!(long.code, Some(3), "{}", long.stderr);
    assert!(long.stderr.contains("line 1 has 9000 tokens"), "{}", long.stderr);
    assert_eq!(captured("\n").code, Some(3));
    let marked = captured("\u{feff}{\"text\":\"a\"}\n\u{feff}{\"text\":\"b\"}\n");
    assert_eq!(marked.code, Some(0), "{}", marked.stderr);
}
