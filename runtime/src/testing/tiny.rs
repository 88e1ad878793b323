//! A model small enough for doctests, generated from a formula and read back through the real loader.

use crate::decoder::weights::Weights;
use crate::decoder::weights::metadata::{Metadata, Value};
use crate::decoder::{Decoder, DecoderOptions};
use crate::device::{Device, DeviceChoice};
use crate::error::{Error, Result};
use crate::hub::{Local, Provenance};
use crate::model::{Model, OpenOptions};
use crate::text::{Tokenizer, Variables};
use safetensors::tensor::{Dtype, TensorView};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Width of the tiny model's stream.
pub const WIDTH: usize = 16;
/// Its blocks.
pub const LAYERS: usize = 3;
/// Its token ids.
pub const VOCABULARY: usize = 64;
/// The token that ends an answer.
pub const END: u32 = 62;
/// Its context.
pub const CONTEXT: usize = 1024;

const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const INNER: usize = 24;

/// A llama of 3 blocks, 16 wide, 64 tokens, context 1,024.
pub fn decoder() -> Result<Arc<Decoder>> {
    let folder = folder();
    let loaded = write(&folder).and_then(|()| {
        let weights = Weights::open(&folder)?;
        Decoder::load(&weights, &DecoderOptions::default(), &Device::cpu())
    });
    // The folder was only a way through the loader; what remains of it after a failure is not worth an error.
    std::fs::remove_dir_all(&folder).ok();
    loaded.map(Arc::new)
}

/// What its conversations look like.
pub const TEMPLATE: &str = "{% for message in messages %}{{ message.role }} {{ message.content }}<|im_end|>\
     {% endfor %}{% if add_generation_prompt %}assistant {% endif %}";

/// The same as a model that can talk: with a tokenizer, a template and a pool of so many tokens.
pub fn model(pool_tokens: usize) -> Result<Model> {
    model_under(TEMPLATE, pool_tokens)
}

/// The same under another template.
pub fn model_under(template: &str, pool_tokens: usize) -> Result<Model> {
    model_given(template, Variables::new(), pool_tokens)
}

/// The same, whose template is given variables.
pub fn model_given(template: &str, variables: Variables, pool_tokens: usize) -> Result<Model> {
    let folder = folder();
    let opened = write(&folder).and_then(|()| write_text(&folder, template)).and_then(|()| {
        let path = folder.clone();
        let local =
            Local { path, name: "tiny".to_owned(), revision: None, source: Provenance::Path };
        let device = DeviceChoice::Cpu;
        let pool_tokens = Some(pool_tokens);
        let usual = OpenOptions::default();
        Model::from_local(&local, &OpenOptions { device, pool_tokens, variables, ..usual })
    });
    std::fs::remove_dir_all(&folder).ok();
    opened
}

/// A folder of its own.
fn folder() -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("trimtab-tiny-{}-{number}", std::process::id()))
}

/// Writes the tokenizer and the template beside the model.
fn write_text(folder: &Path, template: &str) -> Result<()> {
    let named = spellings();
    let vocab = named.iter().enumerate().map(|(id, text)| (text.clone(), id.into()));
    let vocab: serde_json::Map<String, serde_json::Value> = vocab.collect();
    let bytes = serde_json::json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true,
    });
    let tokenizer = serde_json::json!({
        "version": "1.0", "normalizer": null, "post_processor": null,
        "pre_tokenizer": bytes, "decoder": bytes,
        "added_tokens": [{
            "id": END, "content": "<|im_end|>", "special": true, "normalized": false,
            "single_word": false, "lstrip": false, "rstrip": false,
        }],
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    });
    let config = serde_json::json!({"eos_token": "<|im_end|>", "chat_template": template});
    for (name, content) in [("tokenizer.json", tokenizer), ("tokenizer_config.json", config)] {
        let file = folder.join(name);
        std::fs::write(&file, content.to_string()).map_err(|e| io(&file, e))?;
    }
    Ok(())
}

/// The tokens as the vocabulary spells them.
fn spellings() -> Vec<String> {
    let plain = ('a'..='z').chain('A'..='Z').chain('0'..='9').map(String::from);
    plain.chain(["<|im_end|>".to_owned(), "\u{120}".to_owned()]).collect()
}

/// Writes the model as `config.json` and `model.safetensors`.
pub fn write(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| io(folder, e))?;
    let config = folder.join("config.json");
    std::fs::write(&config, self::config().to_string()).map_err(|e| io(&config, e))?;
    let mut stored: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (seed, (name, shape)) in tensors().into_iter().enumerate() {
        let bytes = values(seed as u32, &shape).iter().flat_map(|v| v.to_le_bytes()).collect();
        stored.push((name, shape, bytes));
    }
    let views: Result<Vec<(&str, TensorView<'_>)>, _> = stored
        .iter()
        .map(|(name, shape, bytes)| {
            TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (name.as_str(), view))
        })
        .collect();
    let file = folder.join("model.safetensors");
    let unwritable = |e: safetensors::SafeTensorError| io(&file, std::io::Error::other(e));
    safetensors::serialize_to_file(views.map_err(unwritable)?, None, &file).map_err(unwritable)
}

fn io(path: &Path, source: std::io::Error) -> Error {
    let path: PathBuf = path.into();
    Error::Io { path: path.display().to_string(), source }
}

fn config() -> serde_json::Value {
    serde_json::json!({
        "model_type": "llama", "hidden_size": WIDTH, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
        "intermediate_size": INNER, "vocab_size": VOCABULARY,
        "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0,
        "hidden_act": "silu", "tie_word_embeddings": true,
    })
}

fn tensors() -> Vec<(String, Vec<usize>)> {
    let kv = WIDTH * KV_HEADS / HEADS;
    let mut all = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCABULARY, WIDTH]),
        ("model.norm.weight".to_owned(), vec![WIDTH]),
    ];
    for l in 0..LAYERS {
        let block: [(&str, Vec<usize>); 9] = [
            ("input_layernorm", vec![WIDTH]),
            ("post_attention_layernorm", vec![WIDTH]),
            ("self_attn.q_proj", vec![WIDTH, WIDTH]),
            ("self_attn.k_proj", vec![kv, WIDTH]),
            ("self_attn.v_proj", vec![kv, WIDTH]),
            ("self_attn.o_proj", vec![WIDTH, WIDTH]),
            ("mlp.gate_proj", vec![INNER, WIDTH]),
            ("mlp.up_proj", vec![INNER, WIDTH]),
            ("mlp.down_proj", vec![WIDTH, INNER]),
        ];
        let named = block.into_iter().map(|(n, s)| (format!("model.layers.{l}.{n}.weight"), s));
        all.extend(named);
    }
    all
}

/// Norm weights near 1, matrices of variance 1 / width, from a linear congruence.
fn values(seed: u32, shape: &[usize]) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let count = shape.iter().product();
    match shape {
        [_] => (0..count).map(|_| 1.0 + 0.1 * uniform()).collect(),
        _ => {
            let scale = (3.0 / WIDTH as f32).sqrt();
            (0..count).map(|_| scale * uniform()).collect()
        }
    }
}

/// A tokenizer of the tiny model's 64 ids: letters, digits, an end token (62) and a space (63). No merges.
pub fn tokenizer() -> Result<Arc<Tokenizer>> {
    let tokens = spellings();
    let mut kinds = vec![1; VOCABULARY];
    if let Some(end) = kinds.get_mut(END as usize) {
        *end = 3;
    }
    let mut metadata = Metadata::new();
    let text = |t: &str| Value::Text(t.to_owned());
    for (key, value) in [
        ("model", text("gpt2")),
        ("pre", text("gpt-2")),
        ("tokens", Value::Texts(tokens)),
        ("token_type", Value::Integers(kinds)),
        ("merges", Value::Texts(Vec::new())),
        ("eos_token_id", Value::Unsigned(u64::from(END))),
        ("add_bos_token", Value::Bool(false)),
    ] {
        metadata.insert(format!("tokenizer.ggml.{key}"), value);
    }
    Ok(Arc::new(Tokenizer::from_metadata(&metadata)?))
}
