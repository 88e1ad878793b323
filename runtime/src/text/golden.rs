//! Our ids and renderings against those of programs we did not write (scripts/golden_text.py).

use super::*;
use crate::decoder::weights::metadata::{Metadata, Value as Entry};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

pub(super) const BPE: [&str; 4] = ["smollm", "llama-bpe", "qwen2", "gpt-2"];
const SPM: [&str; 3] = ["llama", "gemma", "bare"];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/text").join(name)
}

pub(super) fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(path(name)).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

pub(super) fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

/// Metadata as a GGUF reader would deliver it.
pub(super) fn metadata(value: &Value) -> Metadata {
    let mut metadata = Metadata::new();
    for (key, value) in value.as_object().unwrap() {
        let entry = match value {
            Value::Bool(flag) => Entry::Bool(*flag),
            Value::Number(number) => Entry::Unsigned(number.as_u64().unwrap()),
            Value::String(text) => Entry::Text(text.clone()),
            Value::Array(items) if items[0].is_string() => {
                Entry::Texts(items.iter().map(|x| x.as_str().unwrap().to_owned()).collect())
            }
            Value::Array(items) if items[0].is_f64() => {
                Entry::Floats(items.iter().map(|x| x.as_f64().unwrap() as f32).collect())
            }
            Value::Array(items) => {
                Entry::Integers(items.iter().map(|x| x.as_i64().unwrap()).collect())
            }
            other => panic!("{key}: {other}"),
        };
        assert!(metadata.insert(key.clone(), entry));
    }
    metadata
}

pub(super) fn from_gguf(name: &str) -> Arc<Tokenizer> {
    let metadata = metadata(&json(&format!("{name}.gguf.json")));
    Arc::new(Tokenizer::from_metadata(&metadata).unwrap())
}

pub(super) fn from_json(name: &str) -> Arc<Tokenizer> {
    Arc::new(Tokenizer::from_file(&path(&format!("{name}.tokenizer.json"))).unwrap())
}

fn check(tokenizer: &Tokenizer, golden: &Value) {
    for (i, text) in list(&golden["texts"]).iter().enumerate() {
        let text = text.as_str().unwrap();
        for (key, special) in [("plain", Special::Plain), ("parse", Special::Parse)] {
            let tokens = tokenizer.encode(text, special).unwrap().len();
            assert!(tokenizer.fewest_tokens(text, special) <= tokens, "{text:?}");
            if let Some(expected) = golden[key].get(i) {
                assert_eq!(
                    tokenizer.encode(text, special).unwrap(),
                    ids(expected),
                    "{key} {text:?}"
                );
            }
        }
    }
    for case in list(&golden["decoded"]) {
        let decoded = tokenizer.decode(&ids(&case["ids"]), Control::Hide);
        assert_eq!(decoded, case["text"].as_str().unwrap());
    }
}

#[test]
fn byte_level_vocabularies_give_the_ids_of_tokenizers() {
    for pre in BPE {
        let golden = json(&format!("bpe-{pre}.ids.json"));
        check(&from_gguf(&format!("bpe-{pre}")), &golden);
        check(&from_json(&format!("bpe-{pre}")), &golden);
    }
}

#[test]
fn each_split_rule_is_needed() {
    // The wrong rules must be caught by the corpus, or agreement means little.
    for (pre, wrong) in
        [("smollm", "gpt-2"), ("llama-bpe", "gpt-2"), ("llama-bpe", "dbrx"), ("qwen2", "dbrx")]
    {
        let mut value = json(&format!("bpe-{pre}.gguf.json"));
        value["tokenizer.ggml.pre"] = wrong.into();
        let tokenizer = Tokenizer::from_metadata(&metadata(&value)).unwrap();
        let golden = json(&format!("bpe-{pre}.ids.json"));
        let same =
            list(&golden["texts"]).iter().zip(list(&golden["plain"])).all(|(text, expected)| {
                tokenizer.encode(text.as_str().unwrap(), Special::Plain).unwrap() == ids(expected)
            });
        assert!(!same, "{pre} splits like {wrong}");
    }
}

#[test]
fn sentencepiece_vocabularies_give_the_ids_of_sentencepiece() {
    for style in SPM {
        check(&from_gguf(&format!("spm-{style}")), &json(&format!("spm-{style}.ids.json")));
    }
    check(&from_json("spm-llama"), &json("spm-llama-json.ids.json"));
}

#[test]
fn templates_print_what_jinja_prints() {
    let golden = json("jinja.json");
    let context = golden["context"].as_object().unwrap();
    let extra = context.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let options = RenderOptions { extra, ..RenderOptions::default() };
    let tokenizer = from_gguf("bpe-gpt-2");
    let mut other = Vec::new();
    for case in list(&golden["rendered"]) {
        let (source, expected) = (case[0].as_str().unwrap(), case[1].as_str().unwrap());
        let rendered = ChatTemplate::new(source, Arc::clone(&tokenizer))
            .and_then(|template| template.render(&[], &options))
            .map(|rendered| rendered.text());
        if rendered.as_ref().is_ok_and(|text| text == expected) {
            continue;
        }
        other.push(format!("{source}\n  is {rendered:?}\n  not Ok({expected:?})"));
    }
    assert!(other.is_empty(), "{}", other.join("\n"));
}

#[test]
fn what_is_not_known_is_named() {
    let mut value = json("bpe-smollm.gguf.json");
    value["tokenizer.ggml.pre"] = "chatglm-bpe".into();
    let error = Tokenizer::from_metadata(&metadata(&value)).unwrap_err().to_string();
    assert!(
        error.contains("chatglm-bpe") && error.contains("smollm") && error.contains("qwen2"),
        "{error}"
    );
    value["tokenizer.ggml.model"] = "t5".into();
    let error = Tokenizer::from_metadata(&metadata(&value)).unwrap_err().to_string();
    assert!(error.contains("t5") && error.contains("gpt2") && error.contains("llama"), "{error}");
}

#[test]
fn malformed_definitions_are_errors() {
    let good = json("bpe-smollm.gguf.json");
    let edits: [(&str, Value); 6] = [
        ("tokenizer.ggml.merges", serde_json::json!(["nospace"])),
        ("tokenizer.ggml.merges", serde_json::json!(["antidisestablish mentarianism"])),
        ("tokenizer.ggml.token_type", serde_json::json!([1, 2])),
        ("tokenizer.ggml.bos_token_id", serde_json::json!(1_000_000)),
        ("tokenizer.ggml.tokens", serde_json::json!("text")),
        ("tokenizer.ggml.eos_token_id", serde_json::json!("text")),
    ];
    for (key, bad) in edits {
        let mut value = good.clone();
        value[key] = bad;
        assert!(Tokenizer::from_metadata(&metadata(&value)).is_err(), "{key}");
    }
}

#[test]
fn turns_end_where_the_vocabulary_says() {
    let tokenizer = from_gguf("bpe-smollm");
    for name in ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<end_of_turn>"] {
        let id = tokenizer.id_of(name).unwrap();
        assert!(tokenizer.is_end_of_generation(id) && tokenizer.is_control(id), "{name}");
        assert_eq!(tokenizer.token_bytes(id), Some(&[][..]));
    }
    let start = tokenizer.id_of("<|im_start|>").unwrap();
    assert!(tokenizer.is_control(start) && !tokenizer.is_end_of_generation(start));
    assert!(!tokenizer.is_control(tokenizer.id_of("<think>").unwrap()));
    assert_eq!(tokenizer.token_bytes(u32::MAX), None);
    assert_ne!(tokenizer.sha256(), from_gguf("bpe-gpt-2").sha256());
}

#[test]
fn bos_comes_once() {
    let tokenizer = from_gguf("bpe-llama-bpe");
    let bos = tokenizer.bos().unwrap();
    assert!(tokenizer.adds_bos() && !from_gguf("bpe-smollm").adds_bos());
    let ids = tokenizer.with_bos(tokenizer.encode("Hi", Special::Plain).unwrap());
    assert_eq!(ids[0], bos);
    assert_eq!(tokenizer.with_bos(ids.clone()), ids);
}

/// A template of the goldens for a tokenizer that has every control token.
pub(super) fn template(name: &str, tokenizer: &Arc<Tokenizer>) -> ChatTemplate {
    let source = std::fs::read_to_string(path(&format!("templates/{name}.jinja"))).unwrap();
    ChatTemplate::new(source, Arc::clone(tokenizer)).unwrap()
}

#[test]
fn conversations_read_as_transformers_writes_them() {
    let tokenizer = from_gguf("bpe-llama-bpe");
    let cases = json("chats.json");
    assert!(list(&cases).len() > 100);
    for case in list(&cases) {
        let template = template(case["template"].as_str().unwrap(), &tokenizer);
        let messages: Vec<Message> = list(&case["messages"])
            .iter()
            .map(|turn| Message::new(turn[0].as_str().unwrap(), turn[1].as_str().unwrap()))
            .collect();
        let add = case["add"].as_bool().unwrap();
        let options = RenderOptions {
            generation_prompt: if add { GenerationPrompt::Add } else { GenerationPrompt::Leave },
            ..RenderOptions::default()
        };
        let Some(text) = case["text"].as_str() else {
            let error = template.render(&messages, &options).unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains(case["error"].as_str().unwrap()), "{cause}");
            continue;
        };
        let rendered = template.render(&messages, &options).unwrap();
        assert_eq!(rendered.text(), text, "{case}");
        assert_eq!(tokenizer.encode_rendered(&rendered).unwrap(), ids(&case["ids"]), "{case}");
    }
}
