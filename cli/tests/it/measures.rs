//! Evaluating, composing and applying from the command line: what is measured where a vector acts, and what is refused
//! before anything runs.

use crate::kit::{Folder, Run, binary, feed, trimtab};
use serde_json::Value;
use trimtab_steering::VectorFile;
use trimtab_steering::file::card::{Card, Role};
use trimtab_steering::scope::{Phase, Picks, Scope, ScopeParams};

/// A folder with the tiny model, a vector for it, prompts, and a neutral text of two windows.
struct Case {
    folder: Folder,
    model: String,
    calm: String,
    data: String,
    neutral: String,
}

impl Case {
    fn new() -> Case {
        let folder = Folder::new();
        let model = folder.talking();
        let calm = folder.vector("calm", &model, &[("resid_post.1", 1.5)]);
        let prompts = ["abc", "the sky", "xyz", "go on"].map(|p| format!("{{\"prompt\":\"{p}\"}}"));
        let data = folder.write("data.jsonl", &prompts.join("\n"));
        let text = "the sky is blue and the grass is green ".repeat(28);
        let neutral = folder.write("neutral.txt", &text);
        Case { folder, model, calm, data, neutral }
    }

    /// The vector with another card.
    fn changed(&self, name: &str, change: impl FnOnce(&mut Card)) -> String {
        let file = VectorFile::open(self.calm.as_ref()).unwrap();
        let mut card = file.card().clone();
        change(&mut card);
        let path = self.folder.path(name);
        let changed = VectorFile::new(card, file.directions().to_vec()).unwrap();
        changed.save(path.as_ref()).unwrap();
        path
    }

    fn eval(&self, file: &str, more: &[&str]) -> Run {
        let words =
            ["eval", file, "--data", &self.data, "--rule", "regex:[a-m]", "-m", &self.model];
        let fixed = ["--scales", "1", "-n", "4", "--json", "-q"];
        let usual = ["--neutral", &self.neutral, "--random", "1"];
        let own = |flag: &&[&str]| !more.contains(flag.first().unwrap());
        let usual: Vec<&str> = usual.chunks(2).filter(own).flatten().copied().collect();
        trimtab(&[&words[..], &fixed, &usual, more].concat())
    }

    fn document(&self, file: &str, more: &[&str]) -> Value {
        let run = self.eval(file, more);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        serde_json::from_str(&run.stdout).unwrap()
    }
}

fn code(run: &Run) -> String {
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    json["error"]["code"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn the_seed_of_an_evaluation_counts_and_is_told() {
    let case = Case::new();
    let out = case.folder.path("answers.jsonl");
    let answers = |seed: &str| {
        let words = ["--temp", "1", "-s", seed, "--answers", &out, "--random-items", "2"];
        let document = case.document(&case.calm, &words);
        assert_eq!(document["seed"].to_string(), seed);
        std::fs::read_to_string(&out).unwrap()
    };
    let (three, four) = (answers("3"), answers("4"));
    assert_eq!(three, answers("3"));
    assert_ne!(three, four);
    assert_eq!(case.document(&case.calm, &[])["seed"], 0);
    // No steering, the scale, the scale turned round; the random direction saw two of four items.
    assert_eq!(three.lines().count(), 3 * 4 + 2);
    assert!(!three.contains("\"score\":null"), "{three}");
}

#[test]
fn harm_is_measured_where_a_vector_acts() {
    let case = Case::new();
    let kl = |document: &Value| document["response"][0]["kl"].as_f64().unwrap();
    let all = kl(&case.document(&case.calm, &[]));
    for (word, least) in [("generated", 0.5), ("prompt", 0.01), ("last", 1e-6)] {
        let file = case.changed(word, |card| card.scope = word.parse().unwrap());
        let found = kl(&case.document(&file, &[]));
        assert!(found > least * all, "{word}: {found} of {all}");
        let words = ["perplexity", "-m", &case.model, "-f", &case.neutral, "-c", "64", "--steer"];
        let more = [&case.calm, "--scope", word, "--kl-divergence", "--dose-policy", "warn"];
        let run = trimtab(&[&words[..], &more, &["--json", "-q"]].concat());
        let document: Value = serde_json::from_str(&run.stdout).unwrap();
        assert!(document["kl"]["mean"].as_f64().unwrap() > 0.0, "{word}: {}", run.stderr);
    }
    // Windows of 512 have no token 600 of an answer.
    let window = Picks { positions: vec![600], ..Picks::default() };
    let generation = Phase { include: window, ..Phase::default() };
    let scope = ScopeParams { generation, ..ScopeParams::default() }.check().unwrap();
    let never = case.changed("never", |card| card.scope = scope);
    let document = case.document(&never, &[]);
    assert_eq!((&document["safe"], &document["response"][0]["kl"]), (&Value::Null, &Value::Null));
    assert!(document["warnings"].to_string().contains("never acts"), "{document}");
    let before = std::fs::read(&never).unwrap();
    let refused = case.eval(&never, &["--write", "--random", "20"]);
    assert_eq!((refused.code, code(&refused).as_str()), (Some(3), "operation_refused"));
    assert_eq!(std::fs::read(&never).unwrap(), before);
}

#[test]
fn a_vector_of_another_model_is_neither_beside_nor_written() {
    let case = Case::new();
    let pinned = case.changed("other.safetensors", |card| {
        card.model.as_mut().unwrap().weights_sha256 = "1".repeat(64);
    });
    let beside = case.eval(&case.calm, &["--beside", &pinned]);
    assert_eq!((beside.code, code(&beside).as_str()), (Some(3), "model_mismatch"));
    let accept = ["--accept-model", "111111111111"];
    assert_eq!(case.eval(&pinned, &accept).code, Some(0));
    let written = case.eval(&pinned, &[&accept[..], &["--write", "--random", "20"]].concat());
    assert!(written.code != Some(0) && written.stderr.contains("--write"), "{}", written.stderr);
}

#[test]
fn what_an_evaluation_cannot_do_is_said_before_it_measures() {
    let case = Case::new();
    let nowhere = case.folder.path("no/such/file");
    for flag in ["--answers", "--plot"] {
        let run = case.eval(&case.calm, &[flag, &nowhere]);
        assert_eq!((run.code, code(&run).as_str()), (Some(2), "invalid_value"), "{flag}");
    }
    // One window has no interval, so a card would hold harm that was not found.
    let before = std::fs::read(&case.calm).unwrap();
    for words in [4, 400] {
        let short = case.folder.write("short.txt", &"a b ".repeat(words / 2));
        let run = case.eval(&case.calm, &["--neutral", &short, "--calibrate", "--write"]);
        assert!(run.code == Some(2), "{}", run.stderr);
        assert!(run.stderr.contains("expected 2 windows of 512"), "{}", run.stderr);
    }
    assert_eq!(std::fs::read(&case.calm).unwrap(), before);
    let beside = format!("{}:nan", case.calm);
    let run = case.eval(&case.calm, &["--beside", &beside]);
    assert!(run.code == Some(2) && run.stderr.contains("--beside"), "{}", run.stderr);
    let choices = r#"{"prompt":"pick","choices":["a","b"],"answer":0}"#;
    let case = Case { data: case.folder.write("choices.jsonl", choices), ..case };
    let run = case.eval(&case.calm, &[]);
    assert_eq!((run.code, code(&run).as_str()), (Some(3), "rule_invalid"));
}

#[test]
fn a_prompt_on_which_nothing_can_act_is_refused() {
    let case = Case::new();
    let far = Picks { positions: vec![90], ..Picks::default() };
    let prompt = Phase { include: far, ..Phase::default() };
    let scope = ScopeParams { prompt, ..ScopeParams::default() }.check().unwrap();
    let far = case.changed("far", |card| card.scope = scope);
    let rest = ["-m", &case.model, "-n", "1", "-s", "1", "--dose-policy", "warn", "--json", "-q"];
    let said = |command: &str, more: &[&str]| {
        feed(binary().args([&[command], &rest[..], more].concat()), "abc\n")
    };
    for command in ["generate", "chat"] {
        let run = said(command, &["--steer", &far]);
        assert_eq!((run.code, code(&run).as_str()), (Some(3), "empty_selection"), "{command}");
        // One token is never read again.
        let idle = said(command, &["--steer", &case.calm, "--scope", "generated"]);
        let document: Value = serde_json::from_str(&idle.stdout).unwrap();
        let warnings = document["steering"]["warnings"].to_string();
        assert!(warnings.contains("\"idle\""), "{command}: {warnings} {}", idle.stderr);
    }
    let run = case.eval(&far, &[]);
    assert_eq!((run.code, code(&run).as_str()), (Some(3), "empty_selection"));
}

#[test]
fn an_export_loses_no_scope_in_silence_and_adds_no_read_direction() {
    let case = Case::new();
    let out = case.folder.path("out.gguf");
    let tail = case.changed("tail", |card| card.scope = Scope::generated());
    let told = trimtab(&["export", &tail, "--to", "gguf", "-o", &out]);
    assert!(told.stdout.contains("on some tokens only"), "{}{}", told.stdout, told.stderr);
    let whole = trimtab(&["export", &case.calm, "--to", "gguf", "-o", &out]);
    assert!(!whole.stdout.contains("on some tokens only"), "{}", whole.stdout);
    let reads = case.changed("reads", |card| {
        card.role = Role::Read;
        card.sites.values_mut().for_each(|entry| entry.anchor = Some(0.0));
    });
    let refused = trimtab(&["export", &reads, "--to", "gguf", "-o", &out, "--json"]);
    assert_eq!((refused.code, code(&refused).as_str()), (Some(3), "role_read"));
}

#[test]
fn a_composition_that_cannot_be_written_is_not_measured() {
    let case = Case::new();
    let words = ["compose", &case.calm, "--dose-policy", "warn", "--json", "-o"];
    let nowhere = trimtab(&[&words[..], &[&case.folder.path("no/such/file")]].concat());
    assert_eq!(nowhere.code, Some(2), "{}", nowhere.stderr);
    let out = case.folder.path("both.safetensors");
    // A model that is not here: it is never looked for.
    let away = ["-hf", "a/b", "--offline"];
    let long = "n".repeat(300);
    let named = trimtab(&[&words[..], &[&out, "--name", &long]].concat());
    assert_eq!(named.code, Some(3), "{}", named.stderr);
    let both = trimtab(&[&words[..], &[&case.folder.path("no/such/file")], &away].concat());
    assert_eq!(both.code, Some(2), "{}", both.stderr);
    let made = trimtab(&[&words[..], &[&out]].concat());
    let document: Value = serde_json::from_str(&made.stdout).unwrap();
    assert_eq!((&document["mode"], &document["m"]), (&"subspace".into(), &1.into()));
    assert!(!case.folder.names().iter().any(|name| name.contains("partial")));
}
