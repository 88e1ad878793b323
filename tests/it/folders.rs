//! Model folders as they are in the wild: names with other prefixes, descriptions inside descriptions, and tensors
//! that the decoder would leave out.

use candle_core::{DType, Device as Candle, Tensor};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use trimtab_runtime::decoder::weights::Weights;
use trimtab_runtime::decoder::{Decoder, DecoderOptions, LogitsAt, Outputs};
use trimtab_runtime::device::Device;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::Session;
use trimtab_tests::golden::{self, Golden};

/// A folder of this test's own, gone at the end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A golden model, to be changed and written elsewhere.
struct Model {
    config: Value,
    tensors: HashMap<String, Tensor>,
}

impl Model {
    fn read(case: &str) -> Model {
        let folder = golden::path(&format!("models/{case}"));
        let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
        let mut tensors = HashMap::new();
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.starts_with("model") && name.ends_with(".safetensors") {
                tensors.extend(candle_core::safetensors::load(&path, &Candle::Cpu).unwrap());
            }
        }
        Model { config: serde_json::from_str(&config).unwrap(), tensors }
    }

    fn renamed(mut self, rename: impl Fn(&str) -> String) -> Model {
        self.tensors = self.tensors.into_iter().map(|(n, t)| (rename(&n), t)).collect();
        self
    }

    /// The same with `config.json` of a model with images.
    fn inside(mut self, outer: &str) -> Model {
        self.config = json!({"model_type": outer, "text_config": self.config, "vision_config": {}});
        self
    }

    fn with(mut self, name: &str, shape: &[usize]) -> Model {
        let tensor = Tensor::ones(shape, DType::F32, &Candle::Cpu).unwrap();
        self.tensors.insert(name.to_owned(), tensor);
        self
    }

    fn set(mut self, field: &str, value: Value) -> Model {
        self.config[field] = value;
        self
    }

    fn write(&self, name: &str) -> Folder {
        let name = format!("trimtab-folders-{}-{name}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        std::fs::create_dir_all(&folder.0).unwrap();
        std::fs::write(folder.0.join("config.json"), self.config.to_string()).unwrap();
        let file = folder.0.join("model.safetensors");
        candle_core::safetensors::save(&self.tensors, file).unwrap();
        folder
    }

    fn logits(&self, name: &str, case: &str) -> Vec<f32> {
        let folder = self.write(name);
        logits(&load(&folder.0).unwrap(), case)
    }

    fn refusal(&self, name: &str) -> String {
        let folder = self.write(name);
        load(&folder.0).unwrap_err().to_string()
    }
}

fn load(path: &Path) -> Result<Arc<Decoder>, trimtab_runtime::Error> {
    let options = DecoderOptions::default();
    Decoder::load(&Weights::open(path)?, &options, &Device::cpu()).map(Arc::new)
}

/// Logits of the golden's tokens at all positions.
fn logits(decoder: &Arc<Decoder>, case: &str) -> Vec<f32> {
    let tokens = Golden::read(&format!("models/{case}/golden.safetensors")).tokens("tokens");
    let pool = decoder.pool(tokens.len()).unwrap();
    let mut session = Session::new(decoder.clone(), &pool, Plan::empty()).unwrap();
    session.push_prompt(&tokens).unwrap();
    let want = Outputs { logits: LogitsAt::All, ..Outputs::default() };
    let output = decoder.forward(&mut [session.row(want)]).unwrap();
    output.logits(0).unwrap().unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn plain(case: &str) -> Vec<f32> {
    logits(&load(&golden::path(&format!("models/{case}"))).unwrap(), case)
}

#[test]
fn every_spelling_of_the_names_is_the_same_model() {
    let inside = |name: &str| name.replacen("model.", "model.language_model.", 1);
    let before = |name: &str| format!("language_model.{name}");
    let bare = |name: &str| name.trim_start_matches("model.").to_owned();
    for (case, outer) in [("gemma3", "gemma3"), ("mistral", "mistral3")] {
        let expected = plain(case);
        let images = |m: Model| m.with("vision_tower.encoder.layers.0.q_proj.weight", &[2, 2]);
        let model = || images(Model::read(case)).inside(outer);
        assert_eq!(model().renamed(before).logits("before", case), expected, "{case}");
        assert_eq!(model().renamed(inside).logits("inside", case), expected, "{case}");
        assert_eq!(model().logits("plain", case), expected, "{case}");
    }
    for case in ["qwen3", "qwen2"] {
        assert_eq!(Model::read(case).renamed(bare).logits("bare", case), plain(case), "{case}");
    }
}

#[test]
fn a_head_that_is_not_there_is_the_embedding_or_missing() {
    let model = || Model::read("qwen2");
    assert!(!model().tensors.contains_key("lm_head.weight"), "the case must be tied");
    let missing = "tensor lm_head.weight, or tie_word_embeddings in config.json, is missing";
    let own = model().set("tie_word_embeddings", json!(false));
    assert_eq!(own.refusal("own"), missing);
    let silent = model().set("tie_word_embeddings", json!(null));
    assert_eq!(silent.refusal("silent"), missing);
    let gemma = Model::read("gemma3");
    assert_eq!(gemma.config.get("tie_word_embeddings"), None);
    assert_eq!(gemma.logits("gemma", "gemma3"), plain("gemma3"));
}

#[test]
fn a_tensor_that_would_be_left_out_is_refused() {
    let block = "model.layers.0.self_attn";
    let table = [
        (
            "llama",
            format!("{block}.q_proj.weight_scale"),
            "belongs to a quantisation that is not supported",
        ),
        (
            "llama",
            format!("{block}.q_proj.qweight"),
            "belongs to a quantisation that is not supported",
        ),
        (
            "llama",
            format!("{block}.q_proj.bias"),
            "is a bias that llama does not have by its description",
        ),
        ("llama", format!("{block}.q_norm.weight"), "is no part of the architecture llama"),
        ("llama", format!("{block}.sinks"), "is no part of the architecture llama"),
        ("qwen2", format!("{block}.o_proj.bias"), "is a bias that qwen2 does not have"),
        ("olmo2", "model.layers.1.input_layernorm.weight".to_owned(), "is no part of"),
        ("llama", "model.norm.bias".to_owned(), "is a bias that llama does not have"),
        ("llama", "lm_head.bias".to_owned(), "is a bias that llama does not have"),
        ("qwen2", "lm_head.bias".to_owned(), "is a bias that qwen2 does not have"),
        ("llama", "model.embed_tokens.weight_scale".to_owned(), "belongs to a quantisation"),
    ];
    for (case, name, why) in table {
        let said = Model::read(case).with(&name, &[4]).refusal("left");
        assert!(said.starts_with(&format!("tensor {name} {why}")), "{said}");
    }
    // What follows from the description, blocks that are not run, and what stands beside the decoder do no harm.
    let harmless = Model::read("llama")
        .with(&format!("{block}.rotary_emb.inv_freq"), &[4])
        .with("model.layers.99.self_attn.q_proj.weight", &[4])
        .with("score.weight", &[4]);
    assert_eq!(harmless.logits("harmless", "llama"), plain("llama"));
    let biased = Model::read("llama-bias").set("attention_bias", json!(false));
    assert!(biased.refusal("biased").contains("bias that llama does not have"));
    assert_eq!(Model::read("llama-bias").logits("bias", "llama-bias"), plain("llama-bias"));
}

#[test]
fn an_adapter_or_another_file_in_its_place_is_named() {
    let folder = Model::read("llama").write("adapter");
    let refusal = || Weights::open(&folder.0).unwrap_err().to_string();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    std::fs::write(folder.0.join("model.safetensors"), pointer).unwrap();
    assert!(refusal().contains("not a safetensors file: it is a Git LFS pointer"), "{}", refusal());
    std::fs::write(folder.0.join("config.json"), "<!doctype html><p>").unwrap();
    assert!(refusal().contains("not JSON: it is an HTML page"), "{}", refusal());
    std::fs::remove_file(folder.0.join("config.json")).unwrap();
    std::fs::write(folder.0.join("adapter_config.json"), "{}").unwrap();
    assert!(refusal().contains("holds a LoRA adapter (adapter_config.json)"), "{}", refusal());
    let file = folder.0.join("model.gguf");
    std::fs::write(&file, "<html>").unwrap();
    let said = Weights::open(&file).unwrap_err().to_string();
    assert!(said.contains("is not a GGUF file: it is an HTML page"), "{said}");
}
