//! The default model, fetched once through the program's own catalogue.
//!
//! `TRIMTAB_TEST_OFFLINE=1` turns these tests off.

use crate::kit::{Folder, Run, binary, feed};
use serde_json::Value;
use trimtab_runtime::hub::{DEFAULT, Installer, ModelRef, Resolver};

/// The path of the default model; `None` where the tests are turned off.
fn model() -> Option<String> {
    #[allow(clippy::disallowed_methods)] // the switch of the test suite
    if std::env::var_os("TRIMTAB_TEST_OFFLINE").is_some_and(|v| v == "1") {
        println!("TRIMTAB_TEST_OFFLINE=1: the default model is not tested");
        return None;
    }
    let local = Resolver::new()
        .with_installer(Installer::default())
        .resolve(&ModelRef::parse(DEFAULT).unwrap());
    Some(local.unwrap().path.to_str().unwrap().to_owned())
}

fn run(words: &[&str], stdin: &str) -> Run {
    let run = feed(binary().args(words), stdin);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    run
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_piped_question_is_answered_on_stdout() {
    if model().is_none() {
        return;
    }
    let question = "What is the capital of France? Answer in one word.\n";
    let said = run(&["chat", "--temperature", "0"], question);
    assert!(said.stdout.contains("Paris") && said.stdout.ends_with('\n'), "{}", said.stdout);
    assert_eq!(said.stdout.lines().count(), 1);
    let lines: Vec<&str> = said.stderr.lines().collect();
    assert!(lines.iter().any(|line| line.starts_with("seed ")), "{lines:?}");
    assert!(lines.last().unwrap().starts_with("prompt "), "{lines:?}");
    let quiet = run(&["run", "--temp", "0", "-q", "--json", "-s", "7"], question);
    assert_eq!(quiet.stderr, "");
    let document = json(&quiet.stdout);
    assert_eq!(document["command"], "chat");
    assert_eq!(document["text"], said.stdout.trim_end());
    assert_eq!(document["seed"], 7);
    // A seed that is drawn is said even then, unless the document holds it.
    let drawn = run(&["chat", "-n", "1", "-q"], question).stderr;
    let number = drawn.strip_prefix("seed ").and_then(|n| n.trim_end().parse::<u64>().ok());
    assert!(number.is_some() && drawn.lines().count() == 1, "{drawn}");
    assert_eq!(run(&["chat", "-n", "1", "-q", "--json"], question).stderr, "");
}

#[test]
fn an_answer_has_its_document_and_its_chunks() {
    let Some(model) = model() else {
        return;
    };
    let words =
        ["generate", "-m", &model, "-p", "Say a colour.", "-s", "3", "-n", "5", "--json", "-q"];
    let whole = run(&[&words[..], &["--logprobs", "2"]].concat(), "").stdout;
    let order = [
        "command",
        "version",
        "git",
        "model",
        "device",
        "text",
        "finish_reason",
        "seed",
        "usage",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "timings",
        "load_s",
        "prompt_s",
        "prompt_per_s",
        "first_token_s",
        "gen_s",
        "gen_per_s",
        "steering",
        "plain",
    ];
    let mut at = 0;
    for field in order {
        at += whole[at..]
            .find(&format!("\"{field}\":"))
            .unwrap_or_else(|| panic!("{field}: {whole}"));
    }
    let document = json(&whole);
    assert_eq!(document["usage"]["completion_tokens"], 5);
    assert_eq!(document["finish_reason"], "length");
    let steps = document["logprobs"]["content"].as_array().unwrap();
    let spelt: String = steps.iter().map(|step| step["token"].as_str().unwrap()).collect();
    assert_eq!(spelt, document["text"].as_str().unwrap());
    assert!(steps.iter().all(|step| step["top_logprobs"].as_array().unwrap().len() == 2));

    let chunks = run(&[&words[..], &["--stream"]].concat(), "").stdout;
    let chunks: Vec<Value> = chunks.lines().map(json).collect();
    let text: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, document["text"].as_str().unwrap());
    let [.., end, counts] = &chunks[..] else { panic!("{chunks:?}") };
    assert_eq!(end["choices"][0]["finish_reason"], "length");
    assert_eq!(counts["usage"], document["usage"]);
}

#[test]
fn a_stop_text_from_the_environment_ends_an_answer() {
    let Some(model) = model() else {
        return;
    };
    let mut command = binary();
    command.env("TRIMTAB_STOP", "never said,6").env("TRIMTAB_TEMP", "0");
    let words = ["generate", "-m", &model, "--raw", "-n", "12", "--json", "-q"];
    let counted = feed(command.args(words), "1, 2, 3, 4,");
    let document = json(&counted.stdout);
    assert_eq!(document["finish_reason"], "stop", "{document}");
    assert_eq!(document["text"], " 5, ", "{document}");
}

#[test]
fn perplexity_has_its_document() {
    let Some(model) = model() else {
        return;
    };
    let folder = Folder::new();
    let text = folder.write("text.txt", &"The sky is blue and the grass is green. ".repeat(8));
    let words =
        ["perplexity", "-m", &model, "-f", &text, "-c", "16", "--chunks", "2", "--json", "-q"];
    let first = run(&words, "").stdout;
    let document = json(&first);
    let number = |name: &str| document[name].as_f64().unwrap();
    assert_eq!((number("tokens"), number("chunks"), number("ctx")), (32.0, 2.0, 16.0));
    assert!((number("ppl") - number("nll").exp()).abs() < 1e-9);
    assert!(number("ppl") > 1.0 && number("ppl") < 100.0, "{document}");
    for null in ["steering", "plain", "kl", "top1_agreement"] {
        assert!(first.contains(&format!("\"{null}\":null")), "{first}");
    }
    // How a window is cut into passes changes nothing.
    let cut = run(&[&words[..], &["-b", "5"]].concat(), "").stdout;
    assert_eq!(json(&cut)["nll"], document["nll"]);
}

#[test]
fn a_capture_of_texts_needs_no_ids() {
    let Some(model) = model() else {
        return;
    };
    let folder = Folder::new();
    let data = folder.write(
        "data.jsonl",
        "{\"text\":\"<|im_end|>\"}\n{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}\n",
    );
    let out = folder.path("out.safetensors");
    let words = ["capture", "-m", &model, "--data", &data, "--sites", "embed", "-o", &out];
    let tokens = |words: &[&str]| {
        run(words, "");
        let bytes = std::fs::read(&out).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let row = |name| {
            let data = file.tensor(name).unwrap().data().to_vec();
            data.chunks(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<u32>>()
        };
        (row("0.tokens"), row("1.tokens"))
    };
    let (plain, conversation) = tokens(&words);
    // 2 is <|im_end|>: text unless it is asked for, and written by the template anyway.
    assert!(plain.len() > 1 && !plain.contains(&2), "{plain:?}");
    assert!(conversation.contains(&2), "{conversation:?}");
    let (special, _) = tokens(&[&words[..], &["--special"]].concat());
    assert_eq!(special, [2]);
}

#[test]
fn a_monitor_takes_back_and_a_bad_one_is_2() {
    if model().is_none() {
        return;
    }
    let folder = Folder::new();
    let path = folder.0.join("monitor.json");
    let file = path.to_str().unwrap();
    let words = ["generate", "--temperature", "0", "-n", "24", "--monitor", file, "--show-monitor"];
    let question = "List three facts about the moon.";
    let watch = |document: &str| {
        std::fs::write(&path, document).unwrap();
        feed(binary().args(words), question)
    };
    let plain = run(&["generate", "--temperature", "0", "-n", "24"], question).stdout;
    assert!(plain.contains('1'), "{plain}");
    let silent = watch(r#"{"watch": [{"kind": "text", "any": ["never said"]}]}"#);
    assert_eq!((silent.code, &silent.stdout), (Some(0), &plain), "{}", silent.stderr);
    assert!(silent.stderr.contains("monitor: clean, "), "{}", silent.stderr);
    let digits = watch(r#"{"watch": [{"kind": "text", "regex": ["[0-9]"]}], "refusal": "No."}"#);
    assert!(digits.code == Some(0) && !digits.stdout.contains('1'), "{}", digits.stdout);
    assert!(digits.stderr.contains("monitor: text took back 1 to 0 (clean)"), "{}", digits.stderr);
    for (document, field) in [
        ("{", "monitor.json line 1 is not JSON"),
        (r#"{"watch": []}"#, "steering.monitor.watch"),
        (r#"{"watch": [{"kind": "text", "any": ["a"], "ever": 1}]}"#, "ever"),
        (
            r#"{"watch": [{"kind": "text", "any": ["a"]}], "retry": {"guidance": "generated"}}"#,
            "retry.guidance",
        ),
    ] {
        let refused = watch(document);
        assert!(refused.code == Some(2) && refused.stderr.contains(field), "{}", refused.stderr);
    }
}

#[test]
fn a_thumb_down_brings_another_answer_and_a_revert_the_first() {
    if model().is_none() {
        return;
    }
    let script =
        "Name one animal that lives in the sea.\n/bad\n/again\n/bad\n/again\n/revert 0\n/again\n";
    // Steps that are long enough for two of them to change a greedy answer.
    let params = ["eps_neg=0.1", "canary_step=0.2", "canary_mean=0.5", "canary_max=2"];
    let mut words = vec!["chat", "--adapt", "rosa", "--temperature", "0", "-n", "24"];
    words.extend(["--script", "-", "--json", "-q"]);
    words.extend(params.iter().flat_map(|param| ["--adapt-param", param]));
    let document = json(&run(&words, script).stdout);
    let turns = document["turns"].as_array().unwrap();
    let [first, one, _, two, third, _, last] = &turns[..] else { panic!("{turns:?}") };
    for (lesson, version) in [(one, 1), (two, 2)] {
        assert_eq!(lesson["lesson"]["status"], "applied", "{lesson}");
        assert_eq!(lesson["lesson"]["adapter"]["version"], version);
    }
    assert_eq!(third["adapter"]["version"], 2);
    assert_ne!(third["text"], first["text"]);
    assert_eq!((&last["text"], &last["adapter"]["version"]), (&first["text"], &3.into()));
}

#[test]
fn a_proof_holds_on_the_default_model() {
    if model().is_none() {
        return;
    }
    let document = json(&run(&["adapters", "prove", "-n", "6", "--json", "-q"], "").stdout);
    assert_eq!(document["passed"], true, "{document}");
    let value = |name: &str| {
        let checks = document["checks"].as_array().unwrap().iter();
        let check = checks.clone().find(|check| check["name"] == name);
        check.unwrap_or_else(|| panic!("{name}: {document}"))["value"].as_f64().unwrap()
    };
    assert!(value("thumb_up_raises") > 0.0 && value("thumb_down_lowers") < 0.0);
    assert_eq!(value("versions_reproduce"), 0.0);
}
