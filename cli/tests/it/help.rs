//! `--help` of every command, and completions from the same definitions.

use crate::kit::trimtab;

fn help(words: &[&str]) -> String {
    let run = trimtab(&[words, &["--help"]].concat());
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    run.stdout
}

#[test]
fn every_command_says_what_it_takes() {
    insta::assert_snapshot!("trimtab", help(&[]));
    for command in [
        "chat",
        "generate",
        "capture",
        "perplexity",
        "bench",
        "inspect",
        "verify",
        "serve",
        "doctor",
        "policy",
        "simulate",
        "traces",
        "audit",
        "adapters",
        "import",
        "export",
        "extract",
        "eval",
        "compose",
        "merge",
        "models",
        "completions",
    ] {
        insta::assert_snapshot!(command, help(&[command]));
    }
    for command in ["list", "show", "delete"] {
        insta::assert_snapshot!(format!("traces-{command}"), help(&["traces", command]));
    }
    for command in ["list", "show", "diff", "revert", "export", "import", "delete", "prove"] {
        insta::assert_snapshot!(format!("adapters-{command}"), help(&["adapters", command]));
    }
    insta::assert_snapshot!("audit-show", help(&["audit", "show"]));
    insta::assert_snapshot!("policy-check", help(&["policy", "check"]));
    for command in ["duel", "rosa"] {
        insta::assert_snapshot!(format!("simulate-{command}"), help(&["simulate", command]));
    }
    for command in ["list", "pull", "info", "path"] {
        insta::assert_snapshot!(format!("models-{command}"), help(&["models", command]));
    }
    assert_eq!(help(&["run"]), help(&["chat"]));
}

#[test]
fn completions_know_the_commands() {
    for (shell, mark) in
        [("bash", "complete -F"), ("zsh", "#compdef trimtab"), ("fish", "complete -c")]
    {
        let run = trimtab(&["completions", shell]);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        for word in [mark, "perplexity", "kv-memory"] {
            assert!(run.stdout.contains(word), "{shell}: {word}");
        }
    }
}
