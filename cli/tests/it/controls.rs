//! Shuffled labels from the command line, on the tiny model: from examples to the row they are summed up in.

use crate::kit::{Folder, Run, trimtab};
use serde_json::Value;

struct Case {
    folder: Folder,
    model: String,
    states: String,
    vector: String,
    data: String,
}

impl Case {
    /// States of labelled texts, and the vector they give.
    fn new() -> Case {
        let folder = Folder::new();
        let model = folder.talking();
        let line = |i: u8| {
            let (word, label) = if i.is_multiple_of(2) { ("glad", 1) } else { ("dull", 0) };
            let (a, b) = (char::from(b'a' + i % 26), char::from(b'A' + i / 26));
            format!("{{\"text\":\"{b}{a} {word}\",\"label\":{label}}}\n")
        };
        let data = folder.write("texts.jsonl", &(0..80).map(line).collect::<String>());
        let states = folder.path("states");
        let vector = folder.path("glad.safetensors");
        let case = Case { folder, model, states, vector, data };
        case.extract(&case.states, &["--shard", "1/1"]);
        assert_eq!(case.merge(&case.vector, &[]).code, Some(0));
        case
    }

    fn extract(&self, out: &str, more: &[&str]) {
        let words =
            ["extract", "-m", &self.model, "--data", &self.data, "--name", "glad", "-o", out];
        let run = trimtab(
            &[&words[..], &["--sites", "resid_post.0-1", "--min-pairs", "5"], more].concat(),
        );
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }

    fn merge(&self, out: &str, more: &[&str]) -> Run {
        trimtab(&[&["merge", "--json", &self.states, "-o", out][..], more].concat())
    }

    fn control(&self, seed: u64) -> String {
        let out = self.folder.path(&format!("{seed}.safetensors"));
        let run = self.merge(&out, &["--shuffle", &seed.to_string()]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let document: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(document["method"], "shuffled");
        out
    }

    fn eval(&self, more: &[&str]) -> Run {
        let tasks = "{\"prompt\":\"abc\"}\n{\"prompt\":\"bcd\"}\n";
        let data = self.folder.write("tasks.jsonl", tasks);
        let words =
            ["eval", "-m", &self.model, &self.vector, "--data", &data, "--rule", "regex:[a-m]"];
        trimtab(&[&words[..], &["--random", "2", "-n", "4"], more].concat())
    }
}

#[test]
fn shuffled_labels_stand_beside_a_vector() {
    let case = Case::new();
    let whole = case.folder.path("whole.safetensors");
    case.extract(&whole, &[]);
    assert_eq!(std::fs::read(&whole).unwrap(), std::fs::read(&case.vector).unwrap());
    let controls: Vec<String> = (1..=3).map(|seed| case.control(seed)).collect();
    let given: Vec<&str> = controls.iter().flat_map(|path| ["--shuffled", path.as_str()]).collect();
    let run = case.eval(&given);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("| 3 shuffled labels "), "{}", run.stdout);
    assert!(run.stdout.contains("shuffled labels by at most "), "{}", run.stdout);
    assert!(run.stderr.contains("3 shuffled labels are too few"), "{}", run.stderr);
    let document: Value =
        serde_json::from_str(&case.eval(&[&given[..], &["--json"]].concat()).stdout).unwrap();
    assert!(document["shuffled_p95"].is_number());
    let arms = document["arms"].as_array().unwrap();
    let seeds: Vec<u64> = arms
        .iter()
        .filter(|arm| arm["kind"] == "shuffled")
        .map(|arm| arm["seed"].as_u64().unwrap())
        .collect();
    assert_eq!(seeds, [1, 2, 3]);
}

#[test]
fn what_is_no_control_is_refused_before_the_model_is_opened() {
    let case = Case::new();
    let run = case.eval(&["--shuffled", &case.vector]);
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    let reason = "its method is mean_difference, expected shuffled";
    assert!(
        run.stderr.contains(reason) && run.stderr.contains("glad.safetensors"),
        "{}",
        run.stderr
    );
    let control = case.control(1);
    assert_eq!(case.eval(&["--shuffled", &control, "--calibrate"]).code, Some(2));
}
