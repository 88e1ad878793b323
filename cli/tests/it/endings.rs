//! Exit numbers: one test for each.

use crate::kit::{Folder, Run, binary, feed, trimtab};

/// The JSON error's code, after checking that both streams say the same sentence.
fn failure(run: &Run) -> String {
    let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let message = json["error"]["message"].as_str().unwrap();
    assert!(run.stderr.contains(&format!("error: {message}\n")), "{message}\n{}", run.stderr);
    json["error"]["code"].as_str().unwrap().to_owned()
}

#[test]
fn wrong_use_is_2() {
    let unknown = trimtab(&["generate", "--steering", "x", "--json"]);
    assert_eq!((unknown.code, failure(&unknown).as_str()), (Some(2), "unknown_field"));
    let value = trimtab(&["generate", "-p", "x", "--temp", "-3", "--json"]);
    assert_eq!((value.code, failure(&value).as_str()), (Some(2), "invalid_value"));
    let nothing = trimtab(&["generate"]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (Some(2), ""));
    assert_eq!(
        nothing.stderr,
        "error: prompt is missing\nhint: give --prompt or --file, or write to standard input\n"
    );
    let folder = Folder::new();
    let model = folder.tiny();
    let long = trimtab(&["bench", "-m", &model, "-p", "2000", "-n", "0", "--json", "-q"]);
    assert_eq!((long.code, failure(&long).as_str()), (Some(2), "context_length_exceeded"));
    assert!(long.stderr.contains("\nhint: --ctx-size"), "{}", long.stderr);
}

#[test]
fn a_refused_file_is_3() {
    let folder = Folder::new();
    let rubbish = folder.write("rubbish.gguf", "not a model");
    let refused = trimtab(&["bench", "-m", &rubbish, "--json"]);
    assert_eq!((refused.code, failure(&refused).as_str()), (Some(3), "model_refused"));
    let missing = trimtab(&["bench", "-m", "nothing.gguf", "--json"]);
    assert_eq!((missing.code, failure(&missing).as_str()), (Some(3), "model_not_found"));
    let unread = trimtab(&["generate", "-f", "nothing.txt", "--json"]);
    assert_eq!((unread.code, failure(&unread).as_str()), (Some(3), "input_refused"));
    let (model, out) = (folder.tiny(), folder.path("out"));
    let capture = |rest: &[&str]| trimtab(&[&["capture", "-m", &model, "-o", &out], rest].concat());
    let site = capture(&["--token-ids", "1", "--sites", "final,mlp_out.3"]);
    assert_eq!(site.code, Some(3), "{}", site.stderr);
    assert!(site.stderr.contains("site mlp_out.3 is not in this model (3 blocks)\nhint: "));
    let data = folder.write("data.jsonl", "{\"text\":\"a\"}\n\n{\"txt\":\"b\"}\n");
    let line = capture(&["--data", &data, "--logits"]);
    assert_eq!(line.code, Some(3));
    assert!(line.stderr.contains("data.jsonl line 3 is not an object of the right form"));
    let wordless = trimtab(&["generate", "-m", &model, "-p", "x"]);
    assert_eq!(wordless.code, Some(3), "{}", wordless.stderr);
    assert_eq!(folder.names(), ["data.jsonl", "rubbish.gguf", "tiny"]);
}

#[test]
fn a_folder_that_is_not_there_is_2_and_a_disk_that_fails_is_1() {
    let folder = Folder::new();
    let (model, out) = (folder.tiny(), folder.path("no/such/folder/out"));
    let words = ["capture", "-m", &model, "--token-ids", "1", "--logits", "-o", &out, "--json"];
    let wrong = trimtab(&words);
    assert_eq!((wrong.code, failure(&wrong).as_str()), (Some(2), "invalid_value"));
    let vector = folder.vector("calm", &model, &[("resid_post.1", 2.0)]);
    let full = trimtab(&["export", &vector, "--to", "gguf", "-o", "/dev/full", "--json"]);
    assert_eq!((full.code, failure(&full).as_str()), (Some(1), "internal"), "{}", full.stderr);
}

#[test]
fn a_full_pool_names_the_flag() {
    let folder = Folder::new();
    let model = folder.tiny();
    let ids = vec!["1"; 100].join(",");
    let words = ["capture", "-m", &model, "-o", &folder.path("out"), "--logits", "--token-ids"];
    let full = trimtab(&[&words[..], &[&ids, "--kv-memory", "9k"]].concat());
    assert_eq!(full.code, Some(1), "{}", full.stderr);
    assert!(full.stderr.contains("pool is full") && full.stderr.contains("hint: --kv-memory"));
    let small = trimtab(&["bench", "-m", &model, "-p", "4", "-n", "0", "--kv-memory", "9"]);
    assert_eq!(small.code, Some(2), "{}", small.stderr);
}

#[test]
fn a_bench_that_cannot_fit_is_refused_before_it_runs() {
    let folder = Folder::new();
    let model = folder.tiny();
    let huge = "1000000000000000000";
    for (test, pool, what) in [
        (["-p", "100", "--batch", huge], &["--kv-memory", "64M"][..], "--batch has more tokens"),
        (["-p", "100", "--batch", huge], &[], "--batch has more tokens"),
        (["-p", "1", "--batch", huge], &["--kv-memory", "64M"], "too few for pp1 of 1000000"),
        (["-p", "18446744073709551615", "--batch", "1"], &[], "--batch has more tokens"),
        (["-p", "4,100", "--batch", "1"], &["--kv-memory", "9k"], "too few for pp100 of 1 seq"),
    ] {
        let words = [&["bench", "-m", &model, "-n", "0", "--json"], &test[..], pool].concat();
        let run = trimtab(&words);
        assert_eq!((run.code, failure(&run).as_str()), (Some(2), "invalid_value"), "{words:?}");
        assert!(run.stderr.contains(what), "{}", run.stderr);
    }
}

#[test]
fn offline_and_not_cached_is_5() {
    let folder = Folder::new();
    for (words, variable) in [
        (&["generate", "-p", "x", "--offline", "--json"][..], "UNUSED"),
        (&["generate", "-p", "x", "--json"], "HF_HUB_OFFLINE"),
        (&["generate", "-p", "x", "--json"], "TRIMTAB_OFFLINE"),
        (&["models", "path", "--json"], "UNUSED"),
        (&["models", "path", "hf:owner/repo", "--json"], "UNUSED"),
    ] {
        let mut command = binary();
        command.env("XDG_CACHE_HOME", &folder.0).env("HF_HOME", &folder.0).env(variable, "1");
        let run = feed(command.args(words), "");
        assert_eq!((run.code, failure(&run).as_str()), (Some(5), "unavailable"), "{words:?}");
        assert!(run.stderr.contains("\nhint: "), "{}", run.stderr);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupt_outside_a_generation_is_130() {
    let mut command = binary();
    let command = command.arg("chat").stdin(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    // Held open: waiting for a child closes its stdin, and an empty message is another ending.
    let stdin = child.stdin.take();
    let status = format!("/proc/{}/status", child.id());
    let caught = || {
        let text = std::fs::read_to_string(&status).unwrap();
        let mask = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
        u64::from_str_radix(mask, 16).unwrap() & 2 != 0
    };
    // It waits for its message; the handler is there before.
    while !caught() {
        assert_eq!(child.try_wait().unwrap(), None);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(stdin);
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let folder = Folder::new();
    let mut command = binary();
    let command = command.args(["bench", "-m", &folder.tiny(), "-p", "64", "-n", "0"]);
    let command = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(!stderr.contains("error"), "{stderr}");
}
