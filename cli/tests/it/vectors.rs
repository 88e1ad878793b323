//! Steering from the command line, on the tiny model: every form of a flag, what is told, and what is refused.

use crate::kit::{Folder, Run, binary, feed, masked, trimtab};
use serde_json::Value;

/// A folder with the tiny model and a vector for it, which pushes hard enough to change what is said.
struct Case {
    folder: Folder,
    model: String,
    calm: String,
}

impl Case {
    fn new() -> Case {
        let folder = Folder::new();
        let model = folder.talking();
        let calm = folder.vector("calm", &model, &[("resid_post.0", 2.0), ("resid_post.1", 1.5)]);
        Case { folder, model, calm }
    }

    fn generate(&self, more: &[&str]) -> Run {
        let words = ["generate", "-m", &self.model, "-p", "abc", "-n", "6", "-s", "7"];
        trimtab(&[&words[..], &["--dose-policy", "warn"], more].concat())
    }

    fn document(&self, more: &[&str]) -> Value {
        let run = self.generate(&[more, &["--json", "-q"]].concat());
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        serde_json::from_str(&run.stdout).unwrap()
    }

    /// What is refused, and by which code.
    fn refused(&self, more: &[&str]) -> (Option<i32>, String, String) {
        let run = self.generate(&[more, &["--json", "-q"]].concat());
        let json: Value = serde_json::from_str(&run.stdout).unwrap();
        let code = json["error"]["code"].as_str().unwrap_or_default().to_owned();
        (run.code, code, run.stderr)
    }
}

#[test]
fn an_answer_is_steered_and_the_receipt_says_so() {
    let case = Case::new();
    let spec = format!("{}:2", case.calm);
    let steered = case.document(&["--steer", &spec]);
    let receipt = &steered["steering"];
    assert_eq!(receipt["spec"], 1);
    assert_eq!(receipt["seed"], 7);
    assert_eq!(receipt["plan"].as_str().unwrap().len(), 16);
    let vector = &receipt["vectors"][0];
    assert_eq!(
        (&vector["id"], &vector["op"], &vector["scale"]),
        (&"calm".into(), &"add".into(), &2.0.into())
    );
    assert_eq!(vector["sites"][0]["site"], "resid_post.0");
    // Four tokens of prompt, the template's space included, and all of the answer but its last.
    assert_eq!(vector["sites"][0]["tokens"], 9);
    assert_eq!(vector["sites"][1]["tokens"], 9);
    assert_eq!(receipt["cost"]["forward_tokens"], 9);
    let dose = vector["sites"][0]["dose"].as_f64().unwrap();
    assert!(dose > 0.1 && dose < 8.0, "{dose}");
    let hash = trimtab_steering::file::file_sha256(case.calm.as_ref()).unwrap();
    assert_eq!(vector["sha256"], hash.as_str());
    let line = case.generate(&["--steer", &spec]).stderr;
    assert!(
        line.contains("steering: calm ×2 add resid_post.0 to resid_post.1 (2 sites) dose "),
        "{line}"
    );
    assert!(line.contains(", 9 tokens\n"), "{line}");
    // Scale 0 is the model itself, and no vector at all has no receipt.
    let plain = case.folder.path("none");
    let zero = case.document(&["--steer", &format!("{}:0", case.calm)]);
    let bare: Value = {
        let words =
            ["generate", "-m", &case.model, "-p", "abc", "-n", "6", "-s", "7", "--json", "-q"];
        serde_json::from_str(&trimtab(&words).stdout).unwrap()
    };
    assert_eq!(zero["text"], bare["text"], "{plain}");
    assert_eq!((&bare["steering"], &bare["plain"]), (&Value::Null, &Value::Null));
    assert_ne!(steered["text"], bare["text"]);
}

#[test]
fn every_form_of_a_flag_gives_the_same_answer() {
    let case = Case::new();
    let text = |more: &[&str]| case.document(more)["text"].as_str().unwrap().to_owned();
    let (half, twice) = (format!("{}:1", case.calm), format!("{}:2", case.calm));
    assert_eq!(text(&["--steer", &half]), text(&["--steer", &case.calm]));
    assert_eq!(text(&["--control-vector", &case.calm]), text(&["--steer", &case.calm]));
    let steered = text(&["--steer", &twice]);
    assert_eq!(text(&["--control-vector-scaled", &twice]), steered);
    let gguf = case.folder.path("calm.gguf");
    let words = ["export", &case.calm, "--to", "gguf", "--keep-block-0", "-o", &gguf];
    assert_eq!(trimtab(&words).code, Some(0));
    // A file of ours in GGUF keeps its model, so nothing has to be accepted.
    assert_eq!(text(&["--control-vector-scaled", &format!("{gguf}:2")]), steered);
    assert_eq!(text(&["--control-vector-scaled", &format!("{half},{half}")]), steered);
    let mut command = binary();
    command.env("TRIMTAB_STEER", format!("{half},{half}")).env("TRIMTAB_DOSE_POLICY", "warn");
    let words = ["generate", "-m", &case.model, "-p", "abc", "-n", "6", "-s", "7", "--json", "-q"];
    let run = feed(command.args(words), "");
    let document: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(document["text"], steered.as_str());
}

#[test]
fn blocks_and_scopes_are_held_to() {
    let case = Case::new();
    let twice = format!("{}:2", case.calm);
    let vector = |more: &[&str]| {
        let document = case.document(&[&["--steer", &twice], more].concat());
        document["steering"]["vectors"][0].clone()
    };
    let one = vector(&["--control-vector-layer-range", "1", "9"]);
    assert_eq!(one["sites"].as_array().unwrap().len(), 1);
    assert_eq!(one["sites"][0]["site"], "resid_post.1");
    let tokens = |scope| vector(&["--scope", scope])["sites"][0]["tokens"].clone();
    assert_eq!(
        [tokens("all"), tokens("prompt"), tokens("generated"), tokens("last")],
        [9, 4, 5, 1]
    );
    let outside = case.refused(&["--steer", &twice, "--control-vector-layer-range", "5", "9"]);
    assert_eq!((outside.0, outside.1.as_str()), (Some(3), "site_not_in_vector"));
    // One token is never read again, so nothing that was generated is steered, and that is said.
    let words = ["generate", "-m", &case.model, "-p", "abc", "-n", "1", "--dose-policy", "warn"];
    let idle = trimtab(&[&words[..], &["--steer", &twice, "--scope", "generated"]].concat()).stderr;
    assert!(idle.contains("warning: vector calm touched no token"), "{idle}");
}

#[test]
fn both_answers_are_labelled() {
    let case = Case::new();
    let twice = format!("{}:2", case.calm);
    let both = case.document(&["--steer", &twice, "--compare"]);
    let steered = case.document(&["--steer", &twice]);
    let zero = case.document(&["--steer", &format!("{}:0", case.calm)]);
    assert_eq!(both["text"], steered["text"]);
    assert_eq!(both["plain"]["text"], zero["text"]);
    assert_eq!(both["plain"]["usage"]["completion_tokens"], 6);
    let (plain, steered) =
        (both["plain"]["text"].as_str().unwrap(), both["text"].as_str().unwrap());
    let expected = format!("[plain]\n{plain}\n\n[steered: calm ×2]\n{steered}\n");
    for more in [&["--no-stream"], &["--stream"]] {
        let run = case.generate(&[&["--steer", &twice, "--compare"], &more[..]].concat());
        assert_eq!(run.stdout, expected, "{}", run.stderr);
    }
    let words =
        ["chat", "-m", &case.model, "--steer", &twice, "--compare", "--dose-policy", "warn"];
    let chat = |more: &[&str]| {
        let rest = ["-n", "6", "-s", "7"];
        feed(binary().args([&words[..], &rest, more].concat()), "abc\n")
    };
    assert_eq!(chat(&[]).stdout, expected);
    let document: Value = serde_json::from_str(&chat(&["--json"]).stdout).unwrap();
    assert_eq!((&document["text"], &document["plain"]["text"]), (&steered.into(), &plain.into()));
    assert_eq!(document["steering"]["vectors"][0]["sites"][0]["tokens"], 9);
}

#[test]
fn doses_are_limited_as_the_user_says() {
    let case = Case::new();
    let words = ["generate", "-m", &case.model, "-p", "abc", "-n", "2", "-s", "7", "--steer"];
    let far = format!("{}:40", case.calm);
    let run = |more: &[&str]| trimtab(&[&words[..], &[&far], more].concat());
    let refused = run(&["--json"]);
    assert_eq!(refused.code, Some(3));
    assert!(refused.stdout.contains("\"dose_exceeded\""), "{}", refused.stdout);
    assert!(refused.stderr.contains("hint: --dose-policy clamp"), "{}", refused.stderr);
    let clamped = run(&["--dose-policy", "clamp", "--json", "-q"]);
    let document: Value = serde_json::from_str(&clamped.stdout).unwrap();
    let vector = &document["steering"]["vectors"][0];
    assert!(vector["scale"].as_f64().unwrap() < 10.0, "{vector}");
    assert!(clamped.stderr.contains("warning: unprotected scales were multiplied by"));
    assert!(document["steering"]["warnings"].to_string().contains("dose_clamped"), "{document}");
    let largest = |document: &Value| {
        let sites = document["steering"]["vectors"][0]["sites"].as_array().unwrap().clone();
        sites.iter().map(|site| site["dose"].as_f64().unwrap()).fold(0.0, f64::max)
    };
    assert!((largest(&document) - 0.5).abs() < 1e-3, "{document}");
    let looser = run(&["--dose-policy", "clamp", "--dose-limit", "2", "--json", "-q"]);
    let document: Value = serde_json::from_str(&looser.stdout).unwrap();
    assert!((largest(&document) - 1.0).abs() < 1e-3, "{document}");
}

#[test]
fn files_nobody_would_want_are_refused_before_the_model_is_opened() {
    let case = Case::new();
    let folder = &case.folder;
    let bytes = std::fs::read(&case.calm).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.0.join(name), bytes).unwrap();
        folder.path(name)
    };
    let nan = {
        let mut bytes = bytes.clone();
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&f32::NAN.to_le_bytes());
        write("nan", &bytes)
    };
    let huge = write("huge", &[&(2_u64 << 30).to_le_bytes()[..], b"{}"].concat());
    let model = folder.path("tiny/model.safetensors");
    for (file, code, word) in [
        (folder.path("tiny"), "not_a_vector_file", "not a regular file"),
        (write("empty", b""), "not_a_vector_file", "0 bytes"),
        (huge, "file_too_large", "at most"),
        (nan, "not_finite", "not finite"),
        (write("cut", &bytes[..bytes.len() - 8]), "not_a_vector_file", "bytes long"),
        (write("pickle", b"PK\x03\x04archive/data.pkl"), "pickle_refused", "weights_only"),
        (model, "not_a_vector_file", "hint: `trimtab import"),
        (folder.path("nowhere"), "input_refused", "cannot be read"),
    ] {
        // A model that is not here: it is never looked for.
        let words = ["generate", "-p", "x", "-hf", "a/b", "--offline", "--json", "--steer", &file];
        let run = trimtab(&words);
        let json: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(
            (run.code, &json["error"]["code"]),
            (Some(3), &code.into()),
            "{file}: {}",
            run.stderr
        );
        assert!(run.stderr.contains(word), "{file}: {}", run.stderr);
    }
}

#[test]
fn a_vector_of_another_model_must_be_accepted() {
    let case = Case::new();
    let folder = &case.folder;
    let bare = folder.bare("loose.bare", &[("resid_post.0", 0.5)]);
    let loose = folder.path("loose.safetensors");
    assert_eq!(trimtab(&["import", &bare, "--op", "add", "-o", &loose]).code, Some(0));
    let refused = case.refused(&["--steer", &loose]);
    assert_eq!((refused.0, refused.1.as_str()), (Some(3), "model_mismatch"));
    assert!(refused.2.contains("hint: --accept-model unpinned"), "{}", refused.2);
    let accepted = case.document(&["--steer", &loose, "--accept-model", "unpinned"]);
    assert_eq!(accepted["steering"]["warnings"], serde_json::json!(["model_differs"]));
    // Its stream was measured here, because its card says nothing.
    assert!(accepted["steering"]["vectors"][0]["sites"][0]["dose"].as_f64().unwrap() > 0.0);
    let wide = folder.write("wide.svec", r#"{"model_type":"llama","directions":{"1":[1,0]}}"#);
    let other = case.refused(&["--control-vector", &wide, "--accept-model", "unpinned"]);
    assert_eq!((other.0, other.1.as_str()), (Some(3), "model_shape_mismatch"));
    let row = vec!["0.5"; 16].join(",");
    let text = format!(r#"{{"model_type":"llama","directions":{{"9":[{row}]}}}}"#);
    let deep = folder.write("deep.svec", &text);
    let deep = case.refused(&["--control-vector", &deep, "--accept-model", "unpinned"]);
    assert_eq!(deep.0, Some(3), "{}", deep.2);
    let shifted = case.refused(&["--steer", &case.calm, "--layer-shift", "1"]);
    assert_eq!((shifted.0, shifted.1.as_str()), (Some(3), "operation_refused"));
}

#[test]
fn bench_runs_plain_steered_plain_with_the_vectors_given() {
    let case = Case::new();
    let words = ["bench", "-m", &case.model, "-p", "4", "-n", "3", "-r", "2", "-q", "--json"];
    let run = trimtab(&[&words[..], &["--steer", &case.calm, "--dose-policy", "warn"]].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    let results = json["results"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    assert_eq!((&results[0]["beside"], &results[1]["beside"]), (&Value::Null, &"steered".into()));
    let steering = serde_json::json!({"vectors": 1, "sites": 2, "ops": ["add"]});
    assert_eq!(results[1]["steering"], steering);
    assert_eq!(results[0]["samples_ns"].as_array().unwrap().len(), 3);
}

#[test]
fn perplexity_holds_steered_predictions_against_plain_ones() {
    let case = Case::new();
    let text = case.folder.write("text.txt", &"the sky is blue and the grass is green ".repeat(3));
    let words =
        ["perplexity", "-m", &case.model, "-f", &text, "-c", "16", "--chunks", "4", "-q", "--json"];
    let measure = |more: &[&str]| -> Value {
        let run = trimtab(&[&words[..], &["--dose-policy", "warn"], more].concat());
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        serde_json::from_str(&run.stdout).unwrap()
    };
    let plain: Value = serde_json::from_str(&trimtab(&words).stdout).unwrap();
    let twice = format!("{}:2", case.calm);
    let both = measure(&["--steer", &twice, "--kl-divergence"]);
    assert_eq!(both["plain"]["nll"], plain["nll"]);
    assert_ne!(both["nll"], plain["nll"]);
    let kl = &both["kl"];
    assert!(kl["mean"].as_f64().unwrap() > 0.0 && kl["max"].as_f64() >= kl["p99"].as_f64(), "{kl}");
    assert_eq!(both["steering"]["plan"].as_str().unwrap().len(), 16);
    let alone = measure(&["--steer", &twice]);
    assert_eq!((&alone["nll"], &alone["kl"]), (&both["nll"], &Value::Null));
    let zero = measure(&["--steer", &format!("{}:0", case.calm), "--kl-divergence"]);
    assert_eq!((&zero["nll"], &zero["kl"]["max"]), (&plain["nll"], &0.0.into()));
    assert_eq!(zero["top1_agreement"], 1.0);
    let line = trimtab(&[
        "perplexity",
        "-m",
        &case.model,
        "-f",
        &text,
        "-c",
        "16",
        "--steer",
        &twice,
        "--dose-policy",
        "warn",
        "--kl-divergence",
    ])
    .stdout;
    assert!(line.contains("KL mean") && line.contains("likeliest token"), "{line}");
}

#[test]
fn inspect_shows_what_a_file_says_and_what_it_would_do() {
    let case = Case::new();
    let run = trimtab(&["inspect", &case.calm]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for word in ["name       calm", "operation  add, rank 1", "resid_post.1", "measured   nothing"]
    {
        assert!(run.stdout.contains(word), "{word}: {}", run.stdout);
    }
    let json = trimtab(&["inspect", &case.calm, "-m", &case.model, "--json"]);
    insta::assert_snapshot!(
        "inspect-json",
        masked(json.stdout.trim_end(), &case.folder.0)
            .replace(&trimtab_steering::file::file_sha256(case.calm.as_ref()).unwrap(), "SHA256")
    );
    let document: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(document["match"]["admitted"], true);
    let bare = case.folder.bare("loose.bare", &[("resid_post.0", 0.5)]);
    let loose = case.folder.path("loose.safetensors");
    assert_eq!(trimtab(&["import", &bare, "--op", "add", "-o", &loose]).code, Some(0));
    let run = trimtab(&["inspect", &case.calm, &loose, "-m", &case.model, "--json"]);
    let both: Value = serde_json::from_str(&run.stdout).unwrap();
    let files = &both["files"];
    assert_eq!(files[0]["name"], document["name"]);
    assert_eq!(files[1]["match"]["refusal"]["code"], "model_mismatch");
    assert!(files[1]["sites"][0]["dose"].as_f64().unwrap() > 0.0);
    assert_eq!(files[1]["sites"][0]["stream_norm_of"], "model");
    for bad in
        [case.folder.path("tiny"), case.folder.write("empty", ""), case.folder.path("nowhere")]
    {
        assert_eq!(trimtab(&["inspect", &bad]).code, Some(3), "{bad}");
    }
}

#[test]
fn import_shows_everything_before_it_writes() {
    let case = Case::new();
    let folder = &case.folder;
    let bare = folder.bare("rows.safetensors", &[("layer_1", 3.0), ("layer_2", 4.0)]);
    let out = folder.path("out.safetensors");
    let silent = trimtab(&["import", &bare, "-o", &out]);
    assert_eq!(silent.code, Some(3), "{}", silent.stderr);
    let words = ["import", &bare, "--op", "add", "--site", "resid_post.{n}", "--layer-shift", "-1"];
    let shown = trimtab(&words);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(shown.stdout.contains("| layer_1 | resid_post.0") && shown.stdout.contains("3.0000"));
    assert!(shown.stderr.contains("nothing was written"), "{}", shown.stderr);
    assert!(!folder.names().contains(&"out.safetensors".to_owned()));
    let more = ["-o", &out, "--name", "warm", "-m", &case.model, "--json"];
    let document: Value =
        serde_json::from_str(&trimtab(&[&words[..], &more].concat()).stdout).unwrap();
    assert_eq!(document["mapping"][1]["site"], "resid_post.1");
    assert_eq!((&document["pinned"], &document["layer_shift"]), (&true.into(), &(-1).into()));
    assert!(document["mapping"][0]["dose_per_unit"].as_f64().unwrap() > 0.0);
    let file = trimtab_steering::VectorFile::open(out.as_ref()).unwrap();
    assert_eq!(file.card().name, "warm");
    assert!(file.card().model.is_some());
    let deep = [
        "import",
        &bare,
        "--op",
        "add",
        "--site",
        "resid_post.{n}",
        "--layer-shift",
        "5",
        "-m",
        &case.model,
    ];
    let deep = trimtab(&[&deep[..], &["--json"]].concat());
    assert_eq!(deep.code, Some(3));
    assert!(deep.stdout.contains("\"layer_out_of_range\""), "{}", deep.stdout);
    let native = trimtab(&["import", &out, "--op", "add", "-o", &folder.path("again")]);
    assert_eq!(native.code, Some(3), "{}", native.stderr);
    let raw = folder.path("rows.f32");
    std::fs::write(&raw, [1.0_f32; 48].map(f32::to_le_bytes).concat()).unwrap();
    let words = ["import", &raw, "--op", "project", "--site", "mlp_out", "--shape"];
    assert_eq!(trimtab(&[&words[..], &["3x16"]].concat()).code, Some(0));
    assert_eq!(trimtab(&[&words[..], &["3x15"]].concat()).code, Some(3));
    let nowhere = folder.path("no/such/folder");
    let failed = trimtab(&[&words[..], &["3x16", "-o", &nowhere]].concat());
    assert_eq!(failed.code, Some(2), "{}", failed.stderr);
}

#[test]
fn export_says_what_to_paste_and_what_is_lost() {
    let case = Case::new();
    let out = case.folder.path("calm.gguf");
    let words = ["export", &case.calm, "--to", "gguf", "-o", &out];
    let zero = trimtab(&words);
    assert_eq!(zero.code, Some(3));
    assert!(zero.stderr.contains("direction.0") && !std::path::Path::new(&out).exists());
    let dropped = trimtab(&[&words[..], &["--drop-block-0"]].concat());
    assert_eq!(dropped.code, Some(0), "{}", dropped.stderr);
    assert!(dropped.stdout.contains("its edit is lost: resid_post.0"), "{}", dropped.stdout);
    assert!(dropped.stdout.ends_with(&format!("--control-vector-scaled {out}:1\n")));
    let glp = trimtab(&[&words[..], &["--glp"]].concat());
    assert_eq!(glp.code, Some(3), "{}", glp.stderr);
    let raw = case.folder.path("rows.f32");
    std::fs::write(&raw, [1.0_f32; 48].map(f32::to_le_bytes).concat()).unwrap();
    let removed = case.folder.path("removed.safetensors");
    let made =
        ["import", &raw, "--op", "project", "--site", "mlp_out", "--shape", "3x16", "-o", &removed];
    assert_eq!(trimtab(&made).code, Some(0));
    let words =
        ["export", &removed, "--to", "gguf", "-o", &out, "--glp", "--drop-block-0", "--json"];
    let document: Value = serde_json::from_str(&trimtab(&words).stdout).unwrap();
    assert_eq!(
        (&document["mode"], &document["sites"][0]),
        (&"project".into(), &"mlp_out.1".into())
    );
    assert!(document["warnings"][0].as_str().unwrap().contains("would add these rows"));
    for bad in [case.folder.path("tiny"), case.folder.write("empty", ""), case.folder.path("none")]
    {
        let words = ["export", &bad, "--to", "gguf", "-o", &case.folder.path("never")];
        assert_eq!(trimtab(&words).code, Some(3), "{bad}");
    }
    assert!(!case.folder.names().contains(&"never".to_owned()));
}

#[test]
fn verify_proves_or_fails_with_4() {
    let case = Case::new();
    let report = case.folder.path("report.txt");
    let run = trimtab(&["verify", "-m", &case.model, &case.calm, "--report", &report]);
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    assert_eq!(std::fs::read_to_string(&report).unwrap(), run.stdout);
    let names = [
        "zero_scale_identical",
        "fires",
        "site_probe",
        "bystander_untouched",
        "rewind_exact",
        "seed_repeats",
        "concept_over_random",
        "cost",
    ];
    let quick = trimtab(&["verify", "-m", &case.model, "--quick", "--json"]);
    let document: Value = serde_json::from_str(&quick.stdout).unwrap();
    let found: Vec<&str> = document["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    assert_eq!(found, names);
    assert_eq!((&document["passed"], &document["vector"]), (&true.into(), &"throw-away".into()));
    // A card that says its effect is no larger than chance.
    let file = trimtab_steering::VectorFile::open(case.calm.as_ref()).unwrap();
    let mut card = file.card().clone();
    card.status = trimtab_steering::file::card::Status::Measured;
    card.evaluation = Some(trimtab_steering::file::card::Evaluation {
        build: "a test".to_owned(),
        json_valid_delta: None,
        n: 8,
        random_p95: 0.5,
        refusal_delta: None,
        response: vec![trimtab_steering::file::card::Response {
            concept: 0.1,
            kl: 0.0,
            ppl_ratio: 1.0,
            scale: 1.0,
        }],
        set_sha256: "0".repeat(64),
        shuffled_p95: None,
    });
    let weak = case.folder.path("weak.safetensors");
    trimtab_steering::VectorFile::new(card, file.directions().to_vec())
        .unwrap()
        .save(weak.as_ref())
        .unwrap();
    let failed = trimtab(&["verify", "-m", &case.model, &weak, "--quick", "--json"]);
    assert_eq!(failed.code, Some(4), "{}", failed.stderr);
    assert!(failed.stderr.contains("check failed: concept_over_random"), "{}", failed.stderr);
    for bad in [case.folder.path("tiny"), case.folder.write("empty", ""), case.folder.path("none")]
    {
        assert_eq!(trimtab(&["verify", "-m", &case.model, &bad]).code, Some(3), "{bad}");
    }
}
