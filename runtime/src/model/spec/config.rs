//! Reading a spec from a Hugging Face `config.json`.
//!
//! A field that is missing has the value of transformers' configuration class ([`model_type`](super::model_type)).
//! A field that would change what the model computes and that nothing here reads is refused.

use super::arch::Architecture;
use super::json::Json;
use super::model_type::{BiasRule, Biases, COMPOSITES, HeadSource, ModelType, Windowed};
use super::{Activation, ModelSpec, RawSpec, SpecError, rotary};
use crate::printable::Line;
use serde_json::Value;

/// Reads and checks the description.
pub fn read(config: &Value) -> Result<ModelSpec, SpecError> {
    let (json, kind) = language_model(config)?;
    for object in [Json::root(config), json] {
        check_precision(&object)?;
    }
    check_unread(&json, kind)?;
    let arch = Architecture::named(kind.arch)?;
    let raw = sizes(&json, kind)?;
    let head_dim = raw.head_dim.unwrap_or_else(|| raw.d_model / raw.n_heads.max(1));
    let attn_scalar = match kind.attn_scalar {
        Some(usual) => Some(json.number("query_pre_attn_scalar")?.unwrap_or(usual)),
        None => None,
    };
    let raw = RawSpec {
        name: json.text("_name_or_path")?.unwrap_or_default().to_owned(),
        norm_eps: json.number("rms_norm_eps")?.unwrap_or(kind.norm_eps),
        norm_offset: arch.safetensors_norm_offset,
        activation: activation(&json, kind)?,
        attn_scale: attn_scalar.map(|s| 1.0 / s.sqrt()),
        attn_softcap: json.number("attn_logit_softcapping")?,
        logit_softcap: json.number("final_logit_softcapping")?,
        windows: windows(&json, kind)?,
        biases: Some(biases(&json, kind)?),
        ropes: rotary::read(&json, kind, head_dim)?,
        ..raw
    };
    ModelSpec::check(arch, raw)
}

/// Whether a model without an output matrix takes the embedding.
pub fn head(config: &Value) -> Result<HeadSource, SpecError> {
    let (_, kind) = language_model(config)?;
    let outer = Json::root(config);
    let composite = outer.text("model_type")?.and_then(composite);
    Ok(match outer.flag("tie_word_embeddings")? {
        Some(true) => HeadSource::Tied,
        Some(false) => HeadSource::Own,
        None => composite.map_or(kind.head, |c| c.head),
    })
}

/// The object that describes the language model, and its row.
fn language_model(config: &Value) -> Result<(Json<'_>, &'static ModelType), SpecError> {
    let outer = Json::root(config);
    let name = outer.text("model_type")?.ok_or_else(|| outer.missing("model_type"))?;
    let Some(composite) = composite(name) else {
        return Ok((outer, ModelType::named(name)?));
    };
    let inner = outer.child("text_config").ok_or_else(|| outer.missing("text_config"))?;
    let name = inner.text("model_type")?.unwrap_or(composite.text);
    Ok((inner, ModelType::named(name)?))
}

fn composite(name: &str) -> Option<&'static super::model_type::Composite> {
    COMPOSITES.iter().find(|c| c.name == name)
}

fn sizes(json: &Json, kind: &ModelType) -> Result<RawSpec, SpecError> {
    let heads = json.integer("num_attention_heads")?.unwrap_or(kind.heads);
    // A null is the class's `None`: as many as query heads.
    let kv_heads = match json.object.get("num_key_value_heads") {
        None => kind.kv_heads,
        Some(_) => json.integer("num_key_value_heads")?,
    };
    Ok(RawSpec {
        d_model: json.need("hidden_size")?,
        n_layers: json.need("num_hidden_layers")?,
        n_heads: heads,
        n_kv_heads: kv_heads,
        head_dim: json.integer("head_dim")?.or(kind.head_dim),
        d_ff: json.need("intermediate_size")?,
        vocab_size: json.integer("vocab_size")?.unwrap_or(kind.vocab_size),
        context_length: json.integer("max_position_embeddings")?.unwrap_or(kind.context_length),
        ..RawSpec::default()
    })
}

fn activation(json: &Json, kind: &ModelType) -> Result<Option<Activation>, SpecError> {
    let field = kind.activation;
    match json.text(field)? {
        None => Ok(None),
        Some("silu" | "swish") => Ok(Some(Activation::Silu)),
        Some("gelu_pytorch_tanh" | "gelu_new" | "gelu_fast") => Ok(Some(Activation::GeluTanh)),
        Some(other) => Err(SpecError::value(field, format!("{other:?} is not supported"))),
    }
}

fn biases(json: &Json, kind: &ModelType) -> Result<Biases, SpecError> {
    let said = |key: &str| json.flag(key).map(|v| v.unwrap_or(false));
    let (attention, mlp) = match kind.biases {
        BiasRule::Always(biases) => return Ok(biases),
        BiasRule::AttentionField => (said("attention_bias")?, false),
        BiasRule::BothFields => (said("attention_bias")?, said("mlp_bias")?),
    };
    Ok(match (attention, mlp) {
        (true, true) => Biases::Any,
        (true, false) => Biases::Attention,
        (false, true) => Biases::Mlp,
        (false, false) => Biases::None,
    })
}

/// The window of each block.
fn windows(json: &Json, kind: &ModelType) -> Result<Vec<Option<usize>>, SpecError> {
    let layers: usize = json.need("num_hidden_layers")?;
    super::within("num_hidden_layers", layers, super::MOST_LAYERS)?;
    let window = match json.object.get("sliding_window") {
        None => kind.window,
        Some(_) => json.integer("sliding_window")?,
    };
    let all = 0..layers;
    match kind.windowed {
        Windowed::Never => Ok(vec![None; layers]),
        Windowed::All => Ok(vec![window; layers]),
        Windowed::Switched { from } => {
            let on = json.flag("use_sliding_window")? == Some(true);
            let window = window.filter(|_| on);
            let from = json.integer("max_window_layers")?.unwrap_or(from);
            let usual = all.map(|l| window.filter(|_| l >= from)).collect();
            layer_types(json, window, usual)
        }
        Windowed::Pattern { period } => {
            let period = json.integer("sliding_window_pattern")?.unwrap_or(period).max(1);
            let usual = all.map(|l| window.filter(|_| !(l + 1).is_multiple_of(period))).collect();
            layer_types(json, window, usual)
        }
    }
}

/// The windows that `layer_types` lists, or the usual ones.
fn layer_types(
    json: &Json,
    window: Option<usize>,
    usual: Vec<Option<usize>>,
) -> Result<Vec<Option<usize>>, SpecError> {
    let refuse = |problem: String| SpecError::value(json.name("layer_types"), problem);
    let Some(types) = json.field("layer_types") else {
        return Ok(usual);
    };
    let types = types.as_array().ok_or_else(|| refuse("should be a list".to_owned()))?;
    let one = |value: &Value| match value.as_str() {
        Some("full_attention") => Ok(None),
        Some("sliding_attention") if window.is_none() => {
            Err(refuse("holds sliding_attention, but there is no window in force".to_owned()))
        }
        Some("sliding_attention") => Ok(window),
        _ => Err(refuse(format!("holds {value}, which is not supported"))),
    };
    types.iter().map(one).collect()
}

/// Refuses weights that are not stored as what they are worth.
fn check_precision(json: &Json) -> Result<(), SpecError> {
    for key in ["quantization", "quantization_config", "compression_config"] {
        let Some(about) = json.field(key) else { continue };
        if is_no_quantisation(about) {
            continue;
        }
        let method = ["quant_method", "quant_type"].iter().find_map(|k| about.get(*k)?.as_str());
        let unnamed = if key == "quantization" { "mlx" } else { "an unnamed method" };
        let known = Line(method.unwrap_or(unnamed));
        let problem = format!(
            "says the weights are quantised with {known}, which is not supported; take the model's plain weights or a GGUF"
        );
        return Err(SpecError::value(json.name(key), problem));
    }
    Ok(())
}

/// An empty object, or bitsandbytes with both of its switches off: what a training run leaves behind.
fn is_no_quantisation(about: &Value) -> bool {
    let off = |key: &str| about.get(key) == Some(&Value::Bool(false));
    let empty = about.as_object().is_some_and(serde_json::Map::is_empty);
    empty || off("load_in_4bit") && off("load_in_8bit")
}

/// Fields of other model types that change what a model computes, with the number that changes nothing.
const UNREAD: &[(&str, f64)] = &[
    ("use_bidirectional_attention", 0.0),
    ("is_causal", 1.0),
    ("embedding_multiplier", 1.0),
    ("residual_multiplier", 1.0),
    ("logits_scaling", 1.0),
    ("attention_multiplier", f64::NAN),
    ("scale_emb", 1.0),
    ("scale_depth", f64::NAN),
    ("dim_model_base", f64::NAN),
    ("clip_qkv", f64::NAN),
    ("alibi", 0.0),
    ("rope_interleaved", 0.0),
    ("use_qk_norm", 0.0),
    ("num_experts", 0.0),
    ("num_local_experts", 0.0),
    ("n_routed_experts", 0.0),
    ("num_kv_shared_layers", 0.0),
    ("no_rope_layers", f64::NAN),
];

/// Fields that Gemma 3 reads and other model types do not have.
const GEMMA: &[(&str, f64)] = &[
    ("query_pre_attn_scalar", f64::NAN),
    ("attn_logit_softcapping", f64::NAN),
    ("final_logit_softcapping", f64::NAN),
];

fn check_unread(json: &Json, kind: &ModelType) -> Result<(), SpecError> {
    let gemma: &[(&str, f64)] = if kind.attn_scalar.is_some() { &[] } else { GEMMA };
    for (key, neutral) in UNREAD.iter().chain(gemma) {
        let harmless = match json.field(key) {
            None => true,
            Some(Value::Bool(b)) => f64::from(u8::from(*b)) == *neutral || !b && neutral.is_nan(),
            Some(Value::Number(n)) => n.as_f64() == Some(*neutral),
            Some(Value::Array(list)) => list.is_empty(),
            Some(Value::String(_) | Value::Object(_) | Value::Null) => false,
        };
        if !harmless {
            let value = json.field(key).map(Value::to_string).unwrap_or_default();
            let shown: String = value.chars().take(40).collect();
            let problem = format!("is {}, which is not supported for {}", Line(&shown), kind.name);
            return Err(SpecError::value(json.name(key), problem));
        }
    }
    Ok(())
}
