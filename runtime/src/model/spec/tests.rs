//! Descriptions and what they leave out: values are those of transformers 5.23.0's configuration classes.

use super::model_type::{Biases, HeadSource};
use super::{ModelSpec, config, gguf};
use crate::model::rope::RopeScaling;
use crate::model::weights::metadata::{Metadata, Value as Entry};
use serde_json::{Value, json};

/// The least that a `config.json` must say, with more of it.
fn with(model_type: &str, more: Value) -> Value {
    let mut config = json!({
        "model_type": model_type, "hidden_size": 64, "num_hidden_layers": 12,
        "num_attention_heads": 8, "num_key_value_heads": 8, "intermediate_size": 32,
    });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn read(model_type: &str, more: Value) -> ModelSpec {
    config::read(&with(model_type, more)).unwrap()
}

fn refusal(model_type: &str, more: Value) -> String {
    config::read(&with(model_type, more)).unwrap_err().to_string()
}

fn windows(spec: &ModelSpec) -> Vec<Option<usize>> {
    spec.layers.iter().map(|layer| layer.window).collect()
}

#[test]
fn what_a_config_leaves_out_is_what_transformers_takes() {
    // model type: eps, base, head width, vocabulary, context
    let table = [
        ("llama", 1e-6, 1e4, 8, 32_000, 2_048),
        ("mistral", 1e-6, 1e4, 8, 32_000, 131_072),
        ("qwen2", 1e-6, 1e4, 8, 151_936, 32_768),
        ("qwen3", 1e-6, 1e4, 128, 151_936, 32_768),
        ("gemma3_text", 1e-6, 1e6, 256, 262_208, 131_072),
        ("olmo2", 1e-5, 1e4, 8, 50_304, 2_048),
        ("phi3", 1e-5, 1e4, 8, 32_064, 4_096),
    ];
    for (name, eps, base, head_dim, vocabulary, context) in table {
        let spec = read(name, json!({}));
        assert_eq!((spec.norm_eps, spec.ropes[0].base), (eps, base), "{name}");
        assert_eq!((spec.head_dim, spec.vocab_size), (head_dim, vocabulary), "{name}");
        assert_eq!(spec.context_length, context, "{name}");
    }
    let gemma = read("gemma3_text", json!({"head_dim": 8}));
    assert_eq!((gemma.attn_scale, gemma.ropes[1].base), (1.0 / 16.0, 1e4));
    let scaled = read("gemma3_text", json!({"head_dim": 8, "query_pre_attn_scalar": 64}));
    assert_eq!(scaled.attn_scale, 1.0 / 8.0);
    // A field that is missing and one that is null are two things.
    let heads = |more: Value| {
        let mut config = with("mistral", json!({"num_attention_heads": 32}));
        config.as_object_mut().unwrap().remove("num_key_value_heads");
        for (key, value) in more.as_object().unwrap() {
            config[key] = value.clone();
        }
        config::read(&config).unwrap().n_kv_heads
    };
    assert_eq!((heads(json!({})), heads(json!({"num_key_value_heads": null}))), (8, 32));
}

#[test]
fn windows_are_those_that_transformers_makes() {
    let all = |window| vec![window; 12];
    let from = |first: usize| (0..12).map(|l| (l >= first).then_some(8)).collect::<Vec<_>>();
    let table = [
        ("llama", json!({"sliding_window": 8}), all(None)),
        ("mistral", json!({}), all(Some(4_096))),
        ("mistral", json!({"sliding_window": null}), all(None)),
        ("phi3", json!({}), all(None)),
        ("phi3", json!({"sliding_window": 8}), all(Some(8))),
        ("qwen2", json!({"sliding_window": 8, "max_window_layers": 1}), all(None)),
        (
            "qwen2",
            json!({"sliding_window": 8, "max_window_layers": 1, "use_sliding_window": true}),
            from(1),
        ),
        ("qwen3", json!({"sliding_window": 8, "use_sliding_window": true}), all(None)),
        (
            "gemma3_text",
            json!({"sliding_window": 8}),
            (0..12).map(|l| (l % 6 != 5).then_some(8)).collect(),
        ),
        (
            "gemma3_text",
            json!({"sliding_window": 8, "sliding_window_pattern": 2}),
            (0..12).map(|l| (l % 2 == 0).then_some(8)).collect(),
        ),
    ];
    for (name, more, expected) in table {
        assert_eq!(windows(&read(name, more.clone())), expected, "{name} {more}");
    }
    let types: Vec<&str> = (0..12).map(|_| "sliding_attention").collect();
    let off = refusal("qwen3", json!({"layer_types": types}));
    assert_eq!(off, "layer_types holds sliding_attention, but there is no window in force");
}

#[test]
fn a_description_inside_a_description_is_read() {
    // All that Gemma 3 4B's file says of its language model.
    let inner = json!({
        "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
        "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    });
    let spec =
        config::read(&json!({"model_type": "gemma3", "text_config": inner, "vision_config": {}}));
    let spec = spec.unwrap();
    assert_eq!((spec.n_heads, spec.n_kv_heads, spec.head_dim), (8, 4, 256));
    assert_eq!((spec.vocab_size, spec.context_length, spec.attn_scale), (262_208, 131_072, 0.0625));
    assert_eq!(spec.ropes[0].scaling, RopeScaling::Linear { factor: 8.0 });
    assert_eq!((spec.ropes[0].base, spec.ropes[1].base), (1e6, 1e4));
    assert_eq!(spec.ropes[1].scaling, RopeScaling::None);
    let foreign = json!({"model_type": "mistral3", "text_config": {"model_type": "ministral3"}});
    assert_eq!(
        config::read(&foreign).unwrap_err().to_string(),
        "model_type \"ministral3\" is not supported; known: llama, smollm2, mistral, qwen2, qwen3, \
         gemma3_text, olmo2, phi3, gemma3, mistral3"
    );
    let bare = config::read(&json!({"model_type": "gemma3"})).unwrap_err().to_string();
    assert_eq!(bare, "config.json field text_config is missing");
    let head = |config: Value| config::head(&config).unwrap();
    let outer = |tied: Value| json!({"model_type": "mistral3", "text_config": {}, "tie_word_embeddings": tied});
    assert_eq!(
        (head(outer(json!(null))), head(outer(json!(false)))),
        (HeadSource::Tied, HeadSource::Own)
    );
    assert_eq!(head(json!({"model_type": "llama"})), HeadSource::Own);
}

#[test]
fn one_rotary_table_of_two_does_not_hide_the_other() {
    let global = json!({"rope_type": "linear", "factor": 4.0});
    let spec = read("gemma3_text", json!({"rope_parameters": {"full_attention": global}}));
    assert_eq!(spec.ropes[0].scaling, RopeScaling::Linear { factor: 4.0 });
    assert_eq!((spec.ropes[0].base, spec.ropes[1].base), (1e6, 1e4));
    let local = json!({"sliding_attention": {"rope_type": "default"}, "full_attention": {"rope_theta": 7.0}});
    let spec = read("gemma3_text", json!({"rope_parameters": local, "rope_theta": 5.0}));
    assert_eq!((spec.ropes[0].base, spec.ropes[1].base), (7.0, 1e4));
}

#[test]
fn rope_scaling_beside_rope_parameters_must_say_the_same() {
    let newer = json!({"rope_type": "linear", "factor": 2.0, "rope_theta": 5.0});
    let of = |older: Value| json!({"rope_parameters": newer.clone(), "rope_scaling": older});
    let one = read("llama", json!({"rope_parameters": newer.clone()}));
    for same in [Value::Null, newer.clone(), json!({"type": "linear", "factor": 2.0})] {
        assert_eq!(read("llama", of(same)), one);
    }
    let said = "rope_scaling is given beside rope_parameters, which says something else; keep one";
    for other in [
        json!({"type": "linear", "factor": 4.0}),
        json!({"type": "linear", "factor": 2.0, "rope_theta": 6.0}),
        json!({"rope_type": "default"}),
    ] {
        assert_eq!(refusal("llama", of(other)), said);
    }
}

#[test]
fn the_head_of_a_model_with_images_is_decided_outside_its_text_config() {
    let of = |outer: Value, inner: Value| {
        let text = json!({"tie_word_embeddings": inner});
        config::head(&json!({
            "model_type": "mistral3", "tie_word_embeddings": outer, "text_config": text,
        }))
    };
    assert_eq!(of(Value::Null, json!(false)), Ok(HeadSource::Tied));
    assert_eq!(of(json!(false), json!(true)), Ok(HeadSource::Own));
}

#[test]
fn longrope_knows_its_border_and_its_factor() {
    let factors = json!([1.0, 1.0, 1.0, 1.0]);
    let rope = |kind: &str| json!({"type": kind, "short_factor": factors, "long_factor": factors});
    let of = |rope: Value| match &read(
        "phi3",
        json!({"rope_scaling": rope, "max_position_embeddings": 131_072}),
    )
    .ropes[0]
        .scaling
    {
        RopeScaling::LongRope { original_context, attention_factor, .. } => {
            (*original_context, *attention_factor)
        }
        other => panic!("{other:?}"),
    };
    let derived = (1.0 + 32f64.ln() / 4096f64.ln()).sqrt();
    for kind in ["longrope", "su", "yarn"] {
        assert_eq!(of(rope(kind)), (4_096, derived), "{kind}");
    }
    let mut said = rope("longrope");
    said["factor"] = json!(1.0);
    assert_eq!(of(said), (4_096, 1.0));
    assert_eq!(
        refusal("llama", json!({"partial_rotary_factor": 0.5})),
        "partial_rotary_factor is 0.5, which is not supported for llama"
    );
}

#[test]
fn quantised_weights_are_refused_by_their_method() {
    let said = |field: &str, about: Value| refusal("llama", json!({field: about}));
    let gptq = said("quantization_config", json!({"quant_method": "gptq", "bits": 4}));
    assert_eq!(
        gptq,
        "quantization_config says the weights are quantised with gptq, which is not supported; \
         take the model's plain weights or a GGUF"
    );
    for (field, about, method) in [
        (
            "quantization_config",
            json!({"quant_method": "compressed-tensors"}),
            "compressed-tensors",
        ),
        ("quantization_config", json!({"bits": 4}), "an unnamed method"),
        ("quantization_config", json!("fp8"), "an unnamed method"),
        ("quantization", json!({"group_size": 64, "bits": 4, "mode": "affine"}), "mlx"),
        (
            "quantization_config",
            json!({"quant_method": "bitsandbytes", "load_in_4bit": true, "load_in_8bit": false}),
            "bitsandbytes",
        ),
    ] {
        let said = said(field, about);
        assert!(said.contains(&format!("quantised with {method},")), "{said}");
    }
    let off = json!({"quant_method": "bitsandbytes", "load_in_4bit": false, "load_in_8bit": false});
    for harmless in [json!(null), json!({}), off] {
        read("llama", json!({"quantization_config": harmless}));
    }
    let outer = json!({
        "model_type": "gemma3", "text_config": with("gemma3_text", json!({})),
        "quantization_config": {"quant_method": "awq"},
    });
    assert!(config::read(&outer).unwrap_err().to_string().contains("awq"));
}

#[test]
fn fields_that_nothing_reads_are_refused_where_they_would_change_numbers() {
    for (name, field, value) in [
        ("gemma3_text", "use_bidirectional_attention", json!(true)),
        ("gemma3_text", "use_bidirectional_attention", json!("all")),
        ("qwen3", "is_causal", json!(false)),
        ("llama", "residual_multiplier", json!(0.22)),
        ("llama", "attention_multiplier", json!(0.015)),
        ("llama", "final_logit_softcapping", json!(30.0)),
        ("llama", "query_pre_attn_scalar", json!(64)),
        ("mistral", "num_local_experts", json!(8)),
        ("llama", "rope_interleaved", json!(true)),
    ] {
        let said = refusal(name, json!({field: value.clone()}));
        assert_eq!(said, format!("{field} is {value}, which is not supported for {name}"));
    }
    let neutral = json!({
        "use_bidirectional_attention": false, "is_causal": true, "residual_multiplier": 1.0,
        "final_logit_softcapping": null, "num_local_experts": 0, "rope_interleaved": false,
    });
    assert_eq!(read("llama", neutral), read("llama", json!({})));
    let capped = read("gemma3_text", json!({"final_logit_softcapping": 30.0}));
    assert_eq!(capped.logit_softcap, Some(30.0));
    let act = json!({"hidden_act": "gelu", "hidden_activation": null});
    assert_eq!(refusal("llama", act.clone()), "hidden_act \"gelu\" is not supported");
    assert_eq!(read("gemma3_text", act), read("gemma3_text", json!({})));
}

#[test]
fn biases_follow_the_fields() {
    let of = |name: &str, more: Value| read(name, more).biases;
    let both = json!({"attention_bias": true, "mlp_bias": true});
    assert_eq!(of("llama", json!({})), Biases::None);
    assert_eq!(of("llama", both.clone()), Biases::Any);
    assert_eq!(of("llama", json!({"mlp_bias": true})), Biases::Mlp);
    assert_eq!(of("qwen3", both.clone()), Biases::Attention);
    assert_eq!(of("mistral", both.clone()), Biases::None);
    assert_eq!(of("qwen2", both), Biases::Qkv);
}

/// Metadata of a small model, with more of it.
fn metadata(arch: &str, more: &[(&str, Entry)]) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", Entry::Text(arch.to_owned()));
    for (key, n) in [
        ("embedding_length", 64),
        ("block_count", 12),
        ("attention.head_count", 8),
        ("feed_forward_length", 32),
        ("context_length", 128),
        ("vocab_size", 96),
    ] {
        metadata.insert(format!("{arch}.{key}"), Entry::Unsigned(n));
    }
    metadata.insert(format!("{arch}.attention.layer_norm_rms_epsilon"), Entry::Float(1e-5));
    for (key, value) in more {
        let key =
            if key.starts_with("general.") { (*key).to_owned() } else { format!("{arch}.{key}") };
        metadata.insert(key, value.clone());
    }
    metadata
}

fn read_gguf(arch: &str, more: &[(&str, Entry)]) -> Result<ModelSpec, String> {
    let tensors = gguf::RopeTensors::default();
    gguf::read(&metadata(arch, more), &tensors).map_err(|e| e.to_string())
}

#[test]
fn the_pattern_of_windows_in_a_gguf_is_obeyed() {
    let window = ("attention.sliding_window", Entry::Unsigned(8));
    let pattern = |value: Entry| ("attention.sliding_window_pattern", value);
    let of = |more: &[(&str, Entry)]| windows(&read_gguf("gemma3", more).unwrap());
    let every = |period: usize| -> Vec<Option<usize>> {
        (0..12).map(|l| (l % period != period - 1).then_some(8)).collect()
    };
    assert_eq!(of(std::slice::from_ref(&window)), every(6));
    assert_eq!(of(&[window.clone(), pattern(Entry::Unsigned(3))]), every(3));
    assert_eq!(of(&[window.clone(), pattern(Entry::Unsigned(0))]), vec![Some(8); 12]);
    let list: Vec<bool> = (0..12).map(|l| l < 4).collect();
    let listed = of(&[window.clone(), pattern(Entry::Bools(list))]);
    assert_eq!(listed, (0..12).map(|l| (l < 4).then_some(8)).collect::<Vec<_>>());
    let short = read_gguf("gemma3", &[window, pattern(Entry::Bools(vec![true]))]).unwrap_err();
    assert_eq!(
        short,
        "gemma3.attention.sliding_window_pattern should be a number of blocks or 12 booleans"
    );
}

#[test]
fn keys_that_nothing_reads_are_refused_where_they_would_change_numbers() {
    for (key, value, said) in [
        (
            "attention.causal",
            Entry::Bool(false),
            "llama.attention.causal is false, which is not supported",
        ),
        (
            "residual_scale",
            Entry::Float(0.22),
            "llama.residual_scale is 0.22, which is not supported",
        ),
        (
            "attention.scale",
            Entry::Float(0.5),
            "llama.attention.scale is 0.5, which is not supported",
        ),
        (
            "rope.dimension_sections",
            Entry::Integers(vec![8, 8]),
            "llama.rope.dimension_sections is in the file, which is not supported",
        ),
        (
            "expert_count",
            Entry::Unsigned(8),
            "llama.expert_count is 8: a mixture of experts of llama is not supported",
        ),
        (
            "attention.value_length",
            Entry::Unsigned(4),
            "llama.attention.value_length is 4, but a key is 8 wide, which is not supported",
        ),
        (
            "rope.scaling.attn_factor",
            Entry::Float(1.2),
            "llama.rope.scaling.attn_factor is 1.2, which is supported with yarn and longrope only",
        ),
        (
            "general.type",
            Entry::Text("adapter".into()),
            "file holds a LoRA adapter, not a model; merge it into its model first",
        ),
    ] {
        assert_eq!(read_gguf("llama", &[(key, value)]).unwrap_err(), said);
    }
    let neutral = [
        ("attention.causal", Entry::Bool(true)),
        ("residual_scale", Entry::Float(1.0)),
        ("expert_count", Entry::Unsigned(0)),
        ("attention.value_length", Entry::Unsigned(8)),
        ("rope.scaling.attn_factor", Entry::Float(1.0)),
        ("general.type", Entry::Text("model".into())),
    ];
    assert_eq!(read_gguf("llama", &neutral), read_gguf("llama", &[]));
    let vector = read_gguf("controlvector", &[]).unwrap_err();
    assert!(vector.contains("a control vector, not a model"), "{vector}");
}
