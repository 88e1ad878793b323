//! What goes to which stream, and what the environment says.

use crate::kit::{Folder, Run, binary, feed, trimtab};

#[test]
fn stdout_is_the_document_and_nothing_else() {
    let folder = Folder::new();
    let model = folder.tiny();
    let words = ["bench", "-m", &model, "-p", "4", "-n", "0", "-r", "1", "--json"];
    for more in [&[][..], &["-v"], &["-vv"], &["--color", "always"], &["--quiet"]] {
        let run = trimtab(&[&words[..], more].concat());
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert_eq!(run.stdout.lines().count(), 1, "{}", run.stdout);
        assert!(run.stdout.starts_with("{\"command\":\"bench\"") && !run.stdout.contains('\u{1b}'));
    }
    let quiet = trimtab(&[&words[..], &["-q"]].concat());
    assert_eq!(quiet.stderr, "");
    let normal = trimtab(&words).stderr;
    assert!(normal.starts_with("running 1 tests\nrunning 1 tests: "), "{normal}");
    let curious = trimtab(&[&words[..], &["-v"]].concat()).stderr;
    assert!(curious.contains("loaded in") && curious.contains("pool of 16 tokens"), "{curious}");
}

#[test]
fn pipes_see_no_escape_byte() {
    let folder = Folder::new();
    let model = folder.tiny();
    for words in [
        &["--help"][..],
        &["bench", "--help"],
        &["nonsense"],
        &["generate"],
        &["bench", "-m", &model, "-p", "4", "-n", "0", "-r", "1"],
        &["models", "list"],
        &["completions", "zsh"],
    ] {
        let run = trimtab(words);
        assert!(!run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'), "{words:?}");
    }
    let painted = trimtab(&["generate", "--color", "always"]);
    assert!(painted.stderr.contains("\u{1b}[31merror:\u{1b}[0m"), "{}", painted.stderr);
}

#[test]
fn variables_reach_their_flags() {
    let folder = Folder::new();
    let model = folder.tiny();
    let mut command = binary();
    let variables = [
        ("TRIMTAB_MODEL_ID", model.as_str()),
        ("TRIMTAB_N_PROMPT", "3,5"),
        ("TRIMTAB_N_GEN", "0"),
        ("TRIMTAB_REPETITIONS", "7"),
        ("TRIMTAB_NO_WARMUP", "1"),
        ("TRIMTAB_JSON", "1"),
        ("TRIMTAB_QUIET", "0"),
        ("TRIMTAB_REPETITONS", "9"),
        ("TRIMTAB_TEST_OFFLINE", "0"),
    ];
    let run = feed(command.envs(variables).args(["bench", "-r", "2"]), "");
    let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(json["model"]["name"], "tiny");
    assert_eq!(json["results"][1]["test"], "pp5");
    // The flag outranks its variable.
    assert_eq!(json["settings"]["repetitions"], 2);
    assert_eq!(json["settings"]["warmup"], false);
    let warning = "warning: variable TRIMTAB_REPETITONS is not known; the nearest name is TRIMTAB_REPETITIONS\n";
    assert_eq!(run.stderr.matches("warning").count(), 1, "{}", run.stderr);
    assert!(run.stderr.contains(warning), "{}", run.stderr);
    let wrong = feed(binary().env("TRIMTAB_JSON", "maybe").arg("bench"), "");
    assert_eq!(wrong.code, Some(2));
}

/// A run of `bench` on the tiny model, or of other words, with variables set and caches that are empty.
fn with_variables(folder: &Folder, variables: &[(&str, &str)], words: &[&str]) -> Run {
    let mut command = binary();
    command.env("XDG_CACHE_HOME", &folder.0).env("HF_HOME", &folder.0);
    feed(command.envs(variables.iter().copied()).args(words), "")
}

const QUICK: [&str; 7] = ["bench", "-p", "4", "-n", "0", "-r", "1"];

#[test]
fn a_typed_model_outranks_the_variable_of_another() {
    let folder = Folder::new();
    let model = folder.tiny();
    let elsewhere = [("TRIMTAB_HF_REPO", "a/b"), ("TRIMTAB_HF_FILE", "c.gguf")];
    let words = [&QUICK[..], &["-m", &model]].concat();
    let run = with_variables(&folder, &elsewhere, &words);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let set = [("TRIMTAB_MODEL", "x.gguf")];
    for (words, code) in [
        (&["bench", "-hf", "a/b", "--offline"][..], 5),
        (&["models", "path", "-hf", "a/b"], 5),
        (&["models", "path", &model], 0),
        (&["models", "path", "-m", &model], 0),
        (&["models", "path"], 3),
    ] {
        let run = with_variables(&folder, &set, words);
        assert_eq!(run.code, Some(code), "{words:?}: {}", run.stderr);
    }
    for (variables, words) in [
        (&[][..], &["bench", "-hf", "a/b", "-m", "c"][..]),
        (&[("TRIMTAB_MODEL", "c"), ("TRIMTAB_HF_REPO", "a/b")], &["bench"]),
    ] {
        let both = with_variables(&folder, variables, words);
        assert_eq!(both.code, Some(2), "{}", both.stderr);
        assert!(both.stderr.contains("cannot be used with"), "{}", both.stderr);
    }
}

#[test]
fn a_switch_that_is_off_is_absent() {
    let folder = Folder::new();
    let model = folder.tiny();
    let words = [&QUICK[..], &["-m", &model]].concat();
    let bench = |variables: &[(&str, &str)], more: &[&str]| {
        with_variables(&folder, variables, &[&words[..], more].concat())
    };
    for (variables, more) in [
        (&[("TRIMTAB_CPU", "0")][..], &["--device", "cpu"][..]),
        (&[("TRIMTAB_CPU", "0"), ("TRIMTAB_DEVICE", "cpu")], &[]),
        (&[("TRIMTAB_DEVICE", "cuda:7")], &["--cpu"]),
        (&[("TRIMTAB_DEVICE", "cuda:7")], &["-ngl", "0"]),
        (&[("TRIMTAB_GPU_LAYERS", "12")], &["--device", "cpu"]),
    ] {
        let run = bench(variables, more);
        assert_eq!(run.code, Some(0), "{variables:?} {more:?}: {}", run.stderr);
    }
    let refused = bench(&[("TRIMTAB_CPU", "1"), ("TRIMTAB_DEVICE", "cpu")], &[]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
}

#[test]
fn a_typed_volume_outranks_a_variable() {
    let folder = Folder::new();
    let model = folder.tiny();
    let words = [&QUICK[..], &["-m", &model]].concat();
    let bench = |name, value, more: &[&str]| {
        let run = with_variables(&folder, &[(name, value)], &[&words[..], more].concat());
        assert_eq!(run.code, Some(0), "{name}={value} {more:?}: {}", run.stderr);
        run
    };
    for (name, value) in [("TRIMTAB_QUIET", "0"), ("TRIMTAB_QUIET", "1"), ("TRIMTAB_VERBOSE", "0")]
    {
        let run = bench(name, value, &["-v"]);
        assert!(run.stderr.contains("loaded in"), "{name}={value}: {}", run.stderr);
    }
    assert_eq!(bench("TRIMTAB_VERBOSE", "2", &["-q"]).stderr, "");
    assert!(bench("TRIMTAB_JSON", "1", &["-o", "csv"]).stdout.starts_with("test,n_prompt,"));
    assert!(bench("TRIMTAB_OUTPUT", "csv", &["--json"]).stdout.starts_with("{\"command\""));
}
