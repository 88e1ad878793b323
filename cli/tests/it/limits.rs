//! Limits that hold whatever a file says of itself.

use crate::kit::{Folder, Run, binary, feed, trimtab};
use serde_json::{Value, json};
use trimtab_steering::VectorFile;

/// A folder with the tiny model and a vector for it.
struct Case {
    folder: Folder,
    model: String,
    calm: String,
}

impl Case {
    fn new() -> Case {
        let folder = Folder::new();
        let model = folder.talking();
        let calm = folder.vector("calm", &model, &[("resid_post.0", 1.0)]);
        Case { folder, model, calm }
    }

    /// The same vector with another card.
    fn forged(&self, name: &str, change: impl FnOnce(&mut Value)) -> String {
        let bytes = std::fs::read(&self.calm).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let card = header["__metadata__"]["trimtab"].as_str().unwrap();
        let mut card: Value = serde_json::from_str(card).unwrap();
        change(&mut card);
        header["__metadata__"]["trimtab"] = card.to_string().into();
        let mut text = header.to_string();
        while !text.len().is_multiple_of(8) {
            text.push(' ');
        }
        let head = (text.len() as u64).to_le_bytes();
        let all = [&head[..], text.as_bytes(), &bytes[8 + length..]].concat();
        std::fs::write(self.folder.0.join(name), all).unwrap();
        self.folder.path(name)
    }

    fn claiming(&self, norm: f64) -> String {
        self.forged("forged.safetensors", |card| {
            card["sites"]["resid_post.0"]["stream_norm"] = json!(norm);
        })
    }

    fn generate(&self, steer: &str, more: &[&str]) -> Run {
        let words = ["generate", "-m", &self.model, "-p", "abc", "-n", "2", "-s", "7", "--steer"];
        trimtab(&[&words[..], &[steer], more].concat())
    }
}

/// The dose of scale 1 as `inspect` measures it.
fn unit(case: &Case) -> f64 {
    let run = trimtab(&["inspect", &case.calm, "-m", &case.model, "--json"]);
    let document: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(document["sites"][0]["stream_norm_of"], "model");
    document["sites"][0]["dose_per_unit"].as_f64().unwrap()
}

#[test]
fn a_file_cannot_say_how_hard_it_may_push() {
    let case = Case::new();
    let unit = unit(&case);
    let (weak, strong) = (0.2 / unit, 2.0 / unit);
    for norm in [1e38, 1e-38] {
        let forged = case.claiming(norm);
        let refused = case.generate(&format!("{forged}:{strong}"), &[]);
        assert_eq!(refused.code, Some(3), "{norm}: {}", refused.stderr);
        assert!(refused.stderr.contains("dose 2.0"), "{norm}: {}", refused.stderr);
        let run = case.generate(&format!("{forged}:{weak}"), &["--json"]);
        assert_eq!(run.code, Some(0), "{norm}: {}", run.stderr);
        assert!(run.stderr.contains("stream_norm_drift"), "{norm}: {}", run.stderr);
        let document: Value = serde_json::from_str(&run.stdout).unwrap();
        let receipt = &document["steering"];
        assert_eq!(receipt["warnings"], json!(["stream_norm_drift"]));
        let dose = receipt["vectors"][0]["sites"][0]["dose"].as_f64().unwrap();
        assert!((dose - 0.2).abs() < 1e-3, "{norm}: {dose}");
    }
    // The honest file is told nothing of.
    let run = case.generate(&format!("{}:{weak}", case.calm), &[]);
    assert!(run.code == Some(0) && !run.stderr.contains("drift"), "{}", run.stderr);
    // A file that says nothing of the stream is as good, and a short context holds it.
    let run = case.generate(&format!("{}:{strong}", case.calm), &["-c", "64"]);
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    let run = case.generate(&format!("{}:{weak}", case.calm), &["-c", "64"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

#[test]
fn a_card_cannot_move_the_class_means_out_of_the_stream() {
    let case = Case::new();
    for (magnitude, anchor, range) in [
        (1.0, 1e6, json!([0.0, 1.0])),
        (1e6, 0.0, json!([1.0, null])),
        (1e6, 0.0, json!([null, -1.0])),
    ] {
        let forged = case.forged("clamp.safetensors", |card| {
            card["operation"] = json!({"kind": "clamp", "min": range[0], "max": range[1]});
            card["sites"]["resid_post.0"]["magnitude"] = json!(magnitude);
            card["sites"]["resid_post.0"]["anchor"] = json!(anchor);
        });
        let refused = case.generate(&format!("{forged}:1"), &[]);
        assert_eq!(refused.code, Some(3), "{range}: {}", refused.stderr);
        assert!(refused.stderr.contains("has dose"), "{range}: {}", refused.stderr);
    }
}

#[test]
fn a_model_that_reads_no_text_is_steered_by_what_files_claim() {
    let folder = Folder::new();
    let model = folder.tiny();
    let calm = folder.vector("calm", &model, &[("resid_post.0", 1.0)]);
    let file = VectorFile::open(calm.as_ref()).unwrap();
    let mut card = file.card().clone();
    card.sites.values_mut().for_each(|site| site.stream_norm = Some(10.0));
    VectorFile::new(card, file.directions().to_vec()).unwrap().save(calm.as_ref()).unwrap();
    let words = ["bench", "-m", &model, "-p", "8", "-n", "0", "-r", "1", "--steer", &calm];
    let run = trimtab(&words);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("no tokenizer to measure"), "{}", run.stderr);
}

#[test]
fn every_command_that_steers_measures() {
    let case = Case::new();
    let strong = 2.0 / unit(&case);
    let forged = format!("{}:{strong}", case.claiming(1e38));
    let text = case.folder.write("text.txt", &"a b c ".repeat(400));
    let (model, out) = (case.model.as_str(), case.folder.path("both.safetensors"));
    for words in [
        &["chat", "-m", model, "--steer", &forged][..],
        &[
            "bench",
            "-m",
            model,
            "--steer",
            &forged,
            "--n-prompt",
            "8",
            "--n-gen",
            "0",
            "--repetitions",
            "1",
        ],
        &["perplexity", "-m", model, "-f", &text, "-c", "64", "--steer", &forged],
        &["compose", &forged, "-m", model, "-o", &out],
    ] {
        let run = feed(binary().args(words), "hi");
        assert!(run.stderr.contains("has dose 2.0"), "{words:?}: {}", run.stderr);
        assert_eq!(run.code, Some(3), "{words:?}");
    }
    assert!(!case.folder.names().contains(&"both.safetensors".to_owned()));
}

#[test]
fn a_projection_removes_no_more_than_there_is_twice() {
    let case = Case::new();
    let rows = case.folder.bare("away.bare", &[("resid_post.0", 1.0)]);
    let away = case.folder.path("away.safetensors");
    let words = ["import", &rows, "-m", &case.model, "--op", "project", "-o", &away];
    assert_eq!(trimtab(&words).code, Some(0));
    let items = case.folder.write("items.jsonl", "{\"prompt\":\"abc\"}\n{\"prompt\":\"xyz\"}\n");
    for scale in ["1000", "-5", "2.001", "-0.001"] {
        for policy in ["refuse", "clamp", "warn"] {
            let run = case.generate(&format!("{away}:{scale}"), &["--dose-policy", policy]);
            assert_eq!(run.code, Some(2), "{scale} {policy}: {}", run.stderr);
            assert!(run.stderr.contains("expected 0 to 2"), "{scale}: {}", run.stderr);
        }
        let spec = format!("{away}:{scale}");
        let words = ["eval", &case.calm, "--data", &items, "-m", &case.model, "--beside", &spec];
        let run = trimtab(&[&words[..], &["--rule", "regex:[a-m]"]].concat());
        assert_eq!(run.code, Some(2), "{scale}: {}", run.stderr);
        assert!(run.stderr.contains("expected 0 to 2"), "{scale}: {}", run.stderr);
    }
    for scale in ["0", "1", "2"] {
        let run = case.generate(&format!("{away}:{scale}"), &[]);
        assert_eq!(run.code, Some(0), "{scale}: {}", run.stderr);
    }
    let away = Case { calm: away, ..Case::new() };
    for (field, value) in
        [("default", json!(3.0)), ("default", json!(-1.0)), ("safe", json!([0.0, 9.0]))]
    {
        let forged = away.forged("wild.safetensors", |card| card["scale"][field] = value);
        let run = trimtab(&["inspect", &forged]);
        assert_eq!(run.code, Some(3), "{field}: {}", run.stderr);
        assert!(run.stderr.contains("expected 0 to 2"), "{field}: {}", run.stderr);
    }
    let forged = away.forged("rows.safetensors", |card| {
        card["sites"]["resid_post.0"]["row_scale"] = json!([1000.0]);
    });
    let run = trimtab(&["inspect", &forged]);
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert!(run.stderr.contains("row_scale"), "{}", run.stderr);
}

#[test]
fn vectors_of_one_name_are_told_apart() {
    let case = Case::new();
    let both = [case.calm.as_str(), &format!("{}:0.1", case.calm)];
    let run = case.generate(both[0], &["--steer", both[1], "--dose-policy", "warn", "--json"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let document: Value = serde_json::from_str(&run.stdout).unwrap();
    let ids = [0, 1].map(|at| document["steering"]["vectors"][at]["id"].clone());
    assert_eq!(ids, ["calm", "calm#2"]);
}

#[test]
fn the_last_token_and_the_answer_are_a_scope() {
    let case = Case::new();
    let weak = format!("{}:{}", case.calm, 0.1 / unit(&case));
    let tokens = |scope: &str| {
        let run = case.generate(&weak, &["--scope", scope, "--json"]);
        let document: Value = serde_json::from_str(&run.stdout).unwrap();
        document["steering"]["vectors"][0]["sites"][0]["tokens"].as_u64().unwrap()
    };
    assert_eq!(tokens("answering"), tokens("last") + tokens("generated"));
}

#[test]
fn stacks_and_zeros_of_other_programs_are_read() {
    use safetensors::tensor::{Dtype, TensorView};
    let case = Case::new();
    let width = trimtab_runtime::testing::tiny::WIDTH;
    // A row of the embedding, one of zeros, and one that points somewhere; as NumPy writes them by default.
    let rows = [1.0_f64, 0.0, 2.0];
    let bytes: Vec<u8> =
        rows.iter().flat_map(|v| std::iter::repeat_n(v.to_le_bytes(), width)).flatten().collect();
    let view = TensorView::new(Dtype::F64, vec![3, width], &bytes).unwrap();
    let path = case.folder.0.join("stack.st");
    safetensors::serialize_to_file([("vector", view)], None, &path).unwrap();
    let path = path.to_str().unwrap();
    let import =
        |more: &[&str]| trimtab(&[&["import", path, "--op", "add", "--json"], more].concat());
    let run = import(&[]);
    assert!(run.code == Some(3) || run.code == Some(2), "{}", run.stderr);
    let run = import(&["--site", "resid_post.{n}"]);
    assert!(run.stderr.contains("vector[n]=resid_post.{n}"), "{}", run.stderr);
    let later = ["--site", "vector[n]=resid_post.{n-1}"];
    let run = import(&later);
    assert!(run.stderr.contains("--skip-zeros"), "{}", run.stderr);
    let run = import(&[&later[..], &["--skip-zeros"]].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let document: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(document["mapping"].as_array().unwrap().len(), 1);
    assert_eq!(document["mapping"][0]["site"], "resid_post.1");
    assert!(document["warnings"][0].as_str().unwrap().contains("vector[1] is zero"));
}
