//! What goes to which stream, and what the environment says.

use crate::kit::{Folder, binary, feed, trimtab};

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
