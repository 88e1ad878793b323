//! candle-transformers as a second oracle, on the checkpoints that transformers wrote.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{gemma3, llama, qwen2, qwen3};
use std::collections::HashMap;
use std::sync::Arc;
use trimtab_runtime::decoder::weights::Weights;
use trimtab_runtime::decoder::{Decoder, DecoderOptions};
use trimtab_runtime::device::Device as OurDevice;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::Session;
use trimtab_tests::golden::{self, Golden, relative_gap};

/// Largest error over largest logit: two programs in f32.
const BOUND: f32 = 1e-5;

/// A checkpoint's configuration with some keys replaced by those candle reads.
fn config(case: &str, keys: &[(&str, serde_json::Value)]) -> serde_json::Value {
    let path = golden::path(&format!("models/{case}/config.json"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (key, value) in keys {
        config[*key] = value.clone();
    }
    config
}

fn weights(case: &str) -> VarBuilder<'static> {
    let mut all: HashMap<String, Tensor> = HashMap::new();
    for entry in std::fs::read_dir(golden::path(&format!("models/{case}"))).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("model") && name.ends_with(".safetensors") {
            all.extend(candle_core::safetensors::load(&path, &Device::Cpu).unwrap());
        }
    }
    let wide = all.into_iter().map(|(k, t)| (k, t.to_dtype(DType::F32).unwrap())).collect();
    VarBuilder::from_tensors(wide, DType::F32, &Device::Cpu)
}

fn input(case: &str) -> (Vec<u32>, Tensor) {
    let tokens = Golden::read(&format!("models/{case}/golden.safetensors")).tokens("tokens");
    let tensor = Tensor::new(tokens.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    (tokens, tensor)
}

/// The last position's logits from our decoder against theirs.
fn check(case: &str, theirs: Tensor) {
    let (tokens, _) = input(case);
    let weights = Weights::open(&golden::path(&format!("models/{case}"))).unwrap();
    let decoder = Decoder::load(&weights, &DecoderOptions::default(), &OurDevice::cpu()).unwrap();
    let decoder = Arc::new(decoder);
    let pool = decoder.pool(tokens.len()).unwrap();
    let mut session = Session::new(decoder, &pool, Plan::empty()).unwrap();
    session.push_prompt(&tokens).unwrap();
    let ours = session.run().unwrap().logits.remove(0);
    let ours = Tensor::new(ours.as_slice(), &Device::Cpu).unwrap();
    let gap = relative_gap(&ours, &theirs.flatten_all().unwrap());
    assert!(gap <= BOUND, "{case}: {gap:e}");
}

#[test]
fn llama_agrees() {
    let config: llama::LlamaConfig = serde_json::from_value(config("llama", &[])).unwrap();
    let config = config.into_config(false);
    let model = llama::Llama::load(weights("llama"), &config).unwrap();
    let mut cache = llama::Cache::new(true, DType::F32, &config, &Device::Cpu).unwrap();
    check("llama", model.forward(&input("llama").1, 0, &mut cache).unwrap());
}

#[test]
fn qwen2_agrees() {
    // candle windows every block whatever `use_sliding_window` says; this checkpoint switches windows off.
    let wide = ("sliding_window", serde_json::json!(1000));
    let config: qwen2::Config = serde_json::from_value(config("qwen2", &[wide])).unwrap();
    let mut model = qwen2::ModelForCausalLM::new(&config, weights("qwen2")).unwrap();
    check("qwen2", model.forward(&input("qwen2").1, 0).unwrap());
}

#[test]
fn qwen3_agrees() {
    let theta = ("rope_theta", serde_json::json!(10_000.0));
    let config: qwen3::Config = serde_json::from_value(config("qwen3", &[theta])).unwrap();
    let mut model = qwen3::ModelForCausalLM::new(&config, weights("qwen3")).unwrap();
    check("qwen3", model.forward(&input("qwen3").1, 0).unwrap());
}

#[test]
fn gemma3_agrees() {
    let config: gemma3::Config = serde_json::from_value(config("gemma3", &[])).unwrap();
    let mut model = gemma3::Model::new(false, &config, weights("gemma3")).unwrap();
    // One token at a time: candle's cache refuses several when there is more than one key-value head.
    let (tokens, _) = input("gemma3");
    let mut last = None;
    for (position, token) in tokens.into_iter().enumerate() {
        let token = Tensor::new(&[[token]], &Device::Cpu).unwrap();
        last = Some(model.forward(&token, position).unwrap());
    }
    check("gemma3", last.unwrap());
}
