//! Descriptions that lie: errors, never panics, never large allocations.

use proptest::prelude::*;
use serde_json::{Value, json};
use trimtab_runtime::decoder::weights::Weights;
use trimtab_runtime::decoder::weights::metadata::{Metadata, Value as Entry};
use trimtab_runtime::decoder::{Decoder, DecoderOptions, spec};
use trimtab_runtime::device::Device;
use trimtab_runtime::testing::tiny;

const FIELDS: [&str; 14] = [
    "model_type",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_theta",
    "hidden_act",
    "head_dim",
    "sliding_window",
    "rope_scaling",
];

/// Anything a field should not be, and some things it may be.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0..100u64).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|x| json!(x)),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["gemma3_text", "phi3", "qwen3", "olmo2", "mistral"])
            .prop_map(Value::from),
        (any::<f64>(), "llama3|yarn|longrope|linear|default").prop_map(|(f, t)| {
            json!({"rope_type": t, "factor": f, "low_freq_factor": f, "short_factor": [f]})
        }),
        prop::collection::vec(any::<f32>(), 0..4).prop_map(|v| json!(v)),
    ]
}

/// A folder of this thread's own.
fn folder() -> std::path::PathBuf {
    let (process, thread) = (std::process::id(), std::thread::current().id());
    std::env::temp_dir().join(format!("trimtab-malformed-{process}-{thread:?}"))
}

/// The tiny model's folder with another `config.json`.
fn load(config: &Value) -> Result<Decoder, trimtab_runtime::Error> {
    let folder = folder();
    tiny::write(&folder).unwrap();
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let weights = Weights::open(&folder)?;
    Decoder::load(&weights, &DecoderOptions::default(), &Device::cpu())
}

fn good() -> Value {
    let folder = folder();
    tiny::write(&folder).unwrap();
    serde_json::from_str(&std::fs::read_to_string(folder.join("config.json")).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_config_with_wrong_fields_never_panics(
        edits in prop::collection::vec((0..FIELDS.len(), value()), 1..4)
    ) {
        let mut config = good();
        for (field, value) in edits {
            config[FIELDS[field]] = value;
        }
        // Either it still describes the tensors, or it is refused with a message.
        if let Err(e) = load(&config) {
            prop_assert!(!e.to_string().is_empty());
        }
    }

    #[test]
    fn metadata_with_wrong_values_never_panics(
        numbers in prop::collection::vec(any::<u64>(), 8), float in any::<f64>(), pick in 0..6usize
    ) {
        let arch = ["llama", "qwen2", "qwen3", "gemma3", "olmo2", "phi3"][pick];
        let mut metadata = Metadata::new();
        metadata.insert("general.architecture", Entry::Text(arch.into()));
        let keys = [
            "embedding_length", "block_count", "attention.head_count", "attention.head_count_kv",
            "attention.key_length", "feed_forward_length", "context_length", "vocab_size",
        ];
        for (key, n) in keys.iter().zip(&numbers) {
            let small = n % if n % 3 == 0 { 64 } else { u64::MAX };
            metadata.insert(format!("{arch}.{key}"), Entry::Unsigned(small));
        }
        metadata.insert(format!("{arch}.attention.layer_norm_rms_epsilon"), Entry::Float(float));
        metadata.insert(format!("{arch}.rope.freq_base"), Entry::Float(float));
        if let Err(e) = spec::gguf::read(&metadata, &spec::gguf::RopeTensors::default()) {
            prop_assert!(!e.to_string().is_empty());
        }
    }
}

#[test]
fn what_is_wrong_is_named() {
    let refused = |field: &str, value: Value| {
        let mut config = good();
        config[field] = value;
        load(&config).unwrap_err().to_string()
    };
    assert_eq!(
        refused("model_type", json!("mamba")),
        "model_type \"mamba\" is not supported; known: llama, smollm2, mistral, qwen2, qwen3, gemma3_text, olmo2, phi3, \
         gemma3, mistral3"
    );
    assert_eq!(
        refused("hidden_size", json!("wide")),
        "hidden_size should be a non-negative integer"
    );
    assert_eq!(
        refused("num_hidden_layers", json!(0)),
        "num_hidden_layers is 0, not between 1 and 1024"
    );
    assert_eq!(
        refused("rope_scaling", json!({"rope_type": "dynamic", "factor": 2.0})),
        "rope_type \"dynamic\" is not supported"
    );
    assert_eq!(
        refused("vocab_size", json!(65)),
        "tensor model.embed_tokens.weight has shape [64, 16], the description needs [65, 16]"
    );
}
