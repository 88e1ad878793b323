//! Reading a spec from a Hugging Face `config.json`.
//!
//! Two generations of keys are in the wild: `rope_theta` with `rope_scaling`, and `rope_parameters`, which may
//! hold one entry per attention type. Both are read; a value given twice must not contradict itself, the newer
//! key wins as it does in transformers.

use super::arch::Architecture;
use super::{Activation, ModelSpec, RawSpec, SpecError};
use crate::model::rope::{RopeScaling, RopeSpec, RopeStyle, Rounding};
use serde_json::Value;

/// Reads and checks the description.
pub fn read(config: &Value) -> Result<ModelSpec, SpecError> {
    let json = Json { object: config, path: "" };
    let model_type = json.text("model_type")?.ok_or_else(|| json.missing("model_type"))?;
    let arch = Architecture::by_model_type(model_type)?;
    let raw = RawSpec {
        name: json.text("_name_or_path")?.unwrap_or_default().to_owned(),
        d_model: json.need("hidden_size")?,
        n_layers: json.need("num_hidden_layers")?,
        n_heads: json.need("num_attention_heads")?,
        n_kv_heads: json.integer("num_key_value_heads")?,
        head_dim: json.integer("head_dim")?,
        d_ff: json.need("intermediate_size")?,
        vocab_size: json.need("vocab_size")?,
        context_length: json.need("max_position_embeddings")?,
        norm_eps: json.number("rms_norm_eps")?.unwrap_or(1e-6),
        norm_offset: arch.safetensors_norm_offset,
        activation: activation(&json)?,
        attn_scale: json.number("query_pre_attn_scalar")?.map(|s| 1.0 / s.sqrt()),
        attn_softcap: json.number("attn_logit_softcapping")?,
        logit_softcap: json.number("final_logit_softcapping")?,
        ropes: Vec::new(),
        windows: windows(arch, &json)?,
    };
    let ropes = ropes(arch, &json, &raw)?;
    ModelSpec::check(arch, RawSpec { ropes, ..raw })
}

fn activation(json: &Json) -> Result<Option<Activation>, SpecError> {
    let name = match json.text("hidden_activation")? {
        Some(name) => Some(name),
        None => json.text("hidden_act")?,
    };
    match name {
        None => Ok(None),
        Some("silu" | "swish") => Ok(Some(Activation::Silu)),
        Some("gelu_pytorch_tanh" | "gelu_new" | "gelu_fast") => Ok(Some(Activation::GeluTanh)),
        Some(other) => Err(SpecError::value("hidden_act", format!("{other:?} is not supported"))),
    }
}

/// The window of each block.
fn windows(arch: &Architecture, json: &Json) -> Result<Vec<Option<usize>>, SpecError> {
    let layers: usize = json.need("num_hidden_layers")?;
    super::within("num_hidden_layers", layers, super::MOST_LAYERS)?;
    let switched_off = json.object.get("use_sliding_window") == Some(&Value::Bool(false));
    let window = json.integer("sliding_window")?.filter(|_| !switched_off);
    let Some(window) = window else {
        return Ok(vec![None; layers]);
    };
    if let Some(types) = json.object.get("layer_types").and_then(Value::as_array) {
        return types.iter().map(|t| layer_type(t, window)).collect();
    }
    let pattern = json.integer("sliding_window_pattern")?.unwrap_or(6).max(1);
    let first_local = json.integer("max_window_layers")?;
    let local = |l: usize| match arch.name {
        "gemma3" => !(l + 1).is_multiple_of(pattern),
        // Qwen uses the window only from this block on, and only when it is switched on.
        "qwen2" | "qwen3" => first_local.is_some_and(|first| l >= first),
        _ => true,
    };
    Ok((0..layers).map(|l| local(l).then_some(window)).collect())
}

fn layer_type(value: &Value, window: usize) -> Result<Option<usize>, SpecError> {
    match value.as_str() {
        Some("full_attention") => Ok(None),
        Some("sliding_attention") => Ok(Some(window)),
        _ => Err(SpecError::value("layer_types", format!("holds {value}, which is not supported"))),
    }
}

/// The global table first, the local one (if any) last: the order `ModelSpec::check` relies on.
fn ropes(arch: &Architecture, json: &Json, raw: &RawSpec) -> Result<Vec<RopeSpec>, SpecError> {
    let head_dim = raw.head_dim.unwrap_or_else(|| raw.d_model / raw.n_heads.max(1));
    let parameters = json.child("rope_parameters").or_else(|| json.child("rope_scaling"));
    if let Some(p) = &parameters
        && let (Some(global), Some(local)) =
            (p.child("full_attention"), p.child("sliding_attention"))
    {
        return Ok(vec![
            rope(json, Some(&global), raw, head_dim)?,
            rope(json, Some(&local), raw, head_dim)?,
        ]);
    }
    let global = rope(json, parameters.as_ref(), raw, head_dim)?;
    if arch.name != "gemma3" {
        return Ok(vec![global]);
    }
    let local = RopeSpec {
        base: json.number("rope_local_base_freq")?.unwrap_or(10_000.0),
        scaling: RopeScaling::None,
        ..global.clone()
    };
    Ok(vec![global, local])
}

fn rope(
    json: &Json,
    parameters: Option<&Json>,
    raw: &RawSpec,
    head_dim: usize,
) -> Result<RopeSpec, SpecError> {
    let inner = |key: &'static str| -> Result<Option<f64>, SpecError> {
        match parameters.map(|p| p.number(key)).transpose()?.flatten() {
            Some(v) => Ok(Some(v)),
            None => json.number(key),
        }
    };
    let partial = inner("partial_rotary_factor")?.unwrap_or(1.0);
    if !(partial > 0.0 && partial <= 1.0) {
        return Err(SpecError::value("partial_rotary_factor", format!("is {partial}")));
    }
    Ok(RopeSpec {
        base: inner("rope_theta")?.unwrap_or(10_000.0),
        rotary_dim: (head_dim as f64 * partial) as usize,
        style: RopeStyle::Halves,
        scaling: match parameters {
            Some(p) => scaling(json, p, raw)?,
            None => RopeScaling::None,
        },
    })
}

fn scaling(json: &Json, p: &Json, raw: &RawSpec) -> Result<RopeScaling, SpecError> {
    let kind = match p.text("rope_type")? {
        Some(kind) => kind,
        None => p.text("type")?.unwrap_or("default"),
    };
    let original = match p.integer("original_max_position_embeddings")? {
        Some(n) => Some(n),
        None => json.integer("original_max_position_embeddings")?,
    };
    let need = |key: &'static str| p.number(key)?.ok_or_else(|| p.missing(key));
    match kind {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear { factor: need("factor")? }),
        "llama3" => Ok(RopeScaling::Llama3 {
            factor: need("factor")?,
            low_freq_factor: need("low_freq_factor")?,
            high_freq_factor: need("high_freq_factor")?,
            original_context: original
                .ok_or_else(|| p.missing("original_max_position_embeddings"))?,
        }),
        "yarn" => yarn(p, original.unwrap_or(raw.context_length)),
        "longrope" | "su" => long_rope(p, original, raw),
        other => Err(SpecError::value("rope_type", format!("{other:?} is not supported"))),
    }
}

fn yarn(p: &Json, original_context: usize) -> Result<RopeScaling, SpecError> {
    let exact = p.object.get("truncate") == Some(&Value::Bool(false));
    for key in ["mscale", "mscale_all_dim"] {
        if p.number(key)?.is_some() {
            return Err(SpecError::value(key, "is not supported"));
        }
    }
    Ok(RopeScaling::Yarn {
        factor: p.number("factor")?.ok_or_else(|| p.missing("factor"))?,
        original_context,
        beta_fast: p.number("beta_fast")?.unwrap_or(32.0),
        beta_slow: p.number("beta_slow")?.unwrap_or(1.0),
        truncate: if exact { Rounding::Exact } else { Rounding::Whole },
        attention_factor: p.number("attention_factor")?,
    })
}

fn long_rope(p: &Json, original: Option<usize>, raw: &RawSpec) -> Result<RopeScaling, SpecError> {
    let list = |key: &'static str| p.numbers(key)?.ok_or_else(|| p.missing(key));
    let (factor, original_context) = match original {
        Some(original) => (raw.context_length as f64 / original as f64, original),
        None => (p.number("factor")?.unwrap_or(1.0), raw.context_length),
    };
    let derived = if factor <= 1.0 {
        1.0
    } else {
        (1.0 + factor.ln() / (original_context as f64).ln()).sqrt()
    };
    Ok(RopeScaling::LongRope {
        short: list("short_factor")?,
        long: list("long_factor")?,
        original_context,
        attention_factor: p.number("attention_factor")?.unwrap_or(derived),
    })
}

/// A JSON object with the path to it, so that errors name fields as they stand in the file.
struct Json<'a> {
    object: &'a Value,
    path: &'static str,
}

impl<'a> Json<'a> {
    fn field(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|v| !v.is_null())
    }

    fn child(&self, key: &'static str) -> Option<Json<'a>> {
        self.field(key).filter(|v| v.is_object()).map(|object| Json { object, path: key })
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn missing(&self, key: &str) -> SpecError {
        SpecError::Missing(format!("config.json field {}", self.name(key)))
    }

    fn wrong(&self, key: &str, expected: &str) -> SpecError {
        SpecError::value(self.name(key), format!("should be {expected}"))
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, SpecError> {
        let read = |v: &'a Value| v.as_str().ok_or_else(|| self.wrong(key, "a text"));
        self.field(key).map(read).transpose()
    }

    fn integer(&self, key: &str) -> Result<Option<usize>, SpecError> {
        let read = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
        let wrong = || self.wrong(key, "a non-negative integer");
        self.field(key).map(|v| read(v).ok_or_else(wrong)).transpose()
    }

    fn need(&self, key: &str) -> Result<usize, SpecError> {
        self.integer(key)?.ok_or_else(|| self.missing(key))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, SpecError> {
        self.field(key).map(|v| v.as_f64().ok_or_else(|| self.wrong(key, "a number"))).transpose()
    }

    fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>, SpecError> {
        let wrong = || self.wrong(key, "a list of numbers");
        self.field(key)
            .map(|v| {
                let list = v.as_array().ok_or_else(wrong)?;
                list.iter().map(|x| x.as_f64().ok_or_else(wrong)).collect()
            })
            .transpose()
    }
}
