//! Reading a spec from GGUF metadata.
//!
//! Keys are those llama.cpp's converter writes. What llama.cpp keeps in its code instead of the file (Gemma 3's
//! 5:1 pattern of local and global blocks, its local rope base) is kept here beside the key that overrides it.

use super::arch::Architecture;
use super::{ModelSpec, RawSpec, SpecError};
use crate::decoder::rope::{RopeScaling, RopeSpec, Rounding};
use crate::decoder::weights::metadata::{Metadata, Value};

/// Rotary divisors that GGUF stores as tensors beside the metadata.
#[derive(Debug, Clone, Default)]
pub struct RopeTensors {
    /// `rope_freqs.weight`
    pub freqs: Option<Vec<f32>>,
    /// `rope_factors_short.weight`
    pub short: Option<Vec<f32>>,
    /// `rope_factors_long.weight`
    pub long: Option<Vec<f32>>,
}

/// Reads and checks the description.
pub fn read(metadata: &Metadata, tensors: &RopeTensors) -> Result<ModelSpec, SpecError> {
    let name = metadata
        .text("general.architecture")?
        .ok_or_else(|| SpecError::Missing("metadata key general.architecture".into()))?;
    check_kind(metadata, name)?;
    let arch = Architecture::named(name)?;
    let keys = Keys { metadata, arch: arch.name };
    check_unread(&keys)?;
    let vocabulary = metadata.texts("tokenizer.ggml.tokens")?.map(<[String]>::len);
    let vocab_size = match keys.integer("vocab_size")? {
        Some(n) => n,
        None => vocabulary
            .ok_or_else(|| SpecError::Missing("metadata key tokenizer.ggml.tokens".into()))?,
    };
    let raw = RawSpec {
        name: metadata.text("general.name")?.unwrap_or_default().to_owned(),
        d_model: keys.need("embedding_length")?,
        n_layers: keys.need("block_count")?,
        n_heads: keys.need("attention.head_count")?,
        n_kv_heads: keys.integer("attention.head_count_kv")?,
        head_dim: keys.integer("attention.key_length")?,
        d_ff: keys.need("feed_forward_length")?,
        vocab_size,
        context_length: keys.need("context_length")?,
        norm_eps: keys
            .number("attention.layer_norm_rms_epsilon")?
            .ok_or_else(|| keys.missing("attention.layer_norm_rms_epsilon"))?,
        attn_softcap: keys.number("attn_logit_softcapping")?,
        logit_softcap: keys.number("final_logit_softcapping")?,
        ..RawSpec::default()
    };
    let head_dim = raw.head_dim.unwrap_or_else(|| raw.d_model / raw.n_heads.max(1));
    if let Some(width) = keys.integer("attention.value_length")?.filter(|w| *w != head_dim) {
        let problem = format!("is {width}, but a key is {head_dim} wide, which is not supported");
        return Err(SpecError::value(keys.full("attention.value_length"), problem));
    }
    let raw = RawSpec {
        attn_scale: attention_scale(arch, &raw),
        windows: windows(&keys, arch, raw.n_layers)?,
        ropes: ropes(&keys, arch, &raw, tensors)?,
        ..raw
    };
    ModelSpec::check(arch, raw)
}

/// Gemma 3 27B, alone of its family, scales by its width per head instead of its head width.
fn attention_scale(arch: &Architecture, raw: &RawSpec) -> Option<f64> {
    let is_27b = arch.name == "gemma3" && raw.n_layers == 62;
    is_27b.then(|| (raw.n_heads as f64 / raw.d_model as f64).sqrt())
}

/// Which blocks have the window, as `attention.sliding_window_pattern` or the architecture says.
fn windows(
    keys: &Keys,
    arch: &Architecture,
    layers: usize,
) -> Result<Vec<Option<usize>>, SpecError> {
    super::within("block count", layers, super::MOST_LAYERS)?;
    let window = keys.integer("attention.sliding_window")?.filter(|w| *w > 0);
    if keys.arch == "olmo2" && window.is_some() {
        // OLMo 3 goes by this name in GGUF, and its local blocks have another rotation.
        return Err(SpecError::value(keys.full("attention.sliding_window"), "is not supported"));
    }
    let key = keys.full("attention.sliding_window_pattern");
    // 0 is a window in every block.
    let period = match keys.metadata.value(&key) {
        None => arch.window_period,
        Some(Value::Bools(local)) if local.len() == layers => {
            return Ok(local.iter().map(|l| window.filter(|_| *l)).collect());
        }
        Some(Value::Unsigned(period)) => usize::try_from(*period).unwrap_or(usize::MAX),
        Some(_) => {
            let problem = format!("should be a number of blocks or {layers} booleans");
            return Err(SpecError::value(key, problem));
        }
    };
    let local = |l: usize| !(l + 1).is_multiple_of(period);
    Ok((0..layers).map(|l| window.filter(|_| local(l))).collect())
}

/// Refuses files that are GGUF and hold no model.
fn check_kind(metadata: &Metadata, architecture: &str) -> Result<(), SpecError> {
    let kind = metadata.text("general.type")?.unwrap_or("model");
    Err(SpecError::NotAModel(match (kind, architecture) {
        (_, "controlvector") => "a control vector, not a model; --control-vector takes it",
        ("adapter", _) => "a LoRA adapter, not a model; merge it into its model first",
        ("mmproj", _) | (_, "clip") => "an image projector, not a language model",
        ("imatrix", _) | (_, "imatrix") => "an importance matrix, not a model",
        _ => return Ok(()),
    }))
}

/// Keys that change what a model computes and that the decoder does not know, with the numbers that change nothing.
const UNREAD: &[(&str, &[f64])] = &[
    ("attention.causal", &[1.0]),
    ("attention.scale", &[0.0]),
    ("attention.output_scale", &[0.0, 1.0]),
    ("attention.clamp_kqv", &[0.0]),
    ("attention.max_alibi_bias", &[0.0]),
    ("attention.temperature_scale", &[0.0]),
    ("attention.temperature_length", &[0.0]),
    ("attention.shared_kv_layers", &[0.0]),
    ("embedding_length_per_layer_input", &[0.0]),
    ("embedding_scale", &[0.0, 1.0]),
    ("residual_scale", &[0.0, 1.0]),
    ("logit_scale", &[0.0, 1.0]),
    ("use_parallel_residual", &[0.0]),
    ("nextn_predict_layers", &[0.0]),
    ("no_rope_layer_step", &[0.0]),
    ("rope.dimension_sections", &[]),
    ("rope.scaling.alpha", &[0.0]),
    ("rope.scaling.yarn_ext_factor", &[1.0, -1.0]),
    ("rope.scaling.yarn_log_multiplier", &[0.0]),
];

fn check_unread(keys: &Keys) -> Result<(), SpecError> {
    if let Some(experts) = keys.integer("expert_count")?.filter(|n| *n > 0) {
        let problem =
            format!("is {experts}: a mixture of experts of {} is not supported", keys.arch);
        return Err(SpecError::value(keys.full("expert_count"), problem));
    }
    for (key, neutral) in UNREAD {
        let key = keys.full(key);
        let found = match keys.metadata.value(&key) {
            None => continue,
            Some(Value::Bool(b)) => Some(f64::from(u8::from(*b))),
            Some(_) => keys.metadata.number(&key).ok().flatten(),
        };
        if !found.is_some_and(|n| neutral.contains(&n)) {
            let shown = match keys.metadata.value(&key) {
                Some(Value::Bool(b)) => b.to_string(),
                _ => found.map_or("in the file".to_owned(), |n| n.to_string()),
            };
            return Err(SpecError::value(key, format!("is {shown}, which is not supported")));
        }
    }
    Ok(())
}

/// The global table first, the local one (if any) last.
fn ropes(
    keys: &Keys,
    arch: &'static Architecture,
    raw: &RawSpec,
    tensors: &RopeTensors,
) -> Result<Vec<RopeSpec>, SpecError> {
    let head_dim = raw.head_dim.unwrap_or_else(|| raw.d_model / raw.n_heads.max(1));
    // Ollama's converter has words of its own for Gemma's two bases.
    let base = keys.first("rope.freq_base", "rope.global.freq_base")?;
    let global = RopeSpec {
        base: base.unwrap_or(10_000.0),
        rotary_dim: keys.integer("rope.dimension_count")?.unwrap_or(head_dim),
        style: arch.gguf_rope,
        scaling: scaling(keys, raw, tensors)?,
    };
    let Some(local_base) = arch.local_base else {
        return Ok(vec![global]);
    };
    let local = RopeSpec {
        base: keys.first("rope.freq_base_swa", "rope.local.freq_base")?.unwrap_or(local_base),
        scaling: RopeScaling::None,
        ..global.clone()
    };
    Ok(vec![global, local])
}

fn scaling(keys: &Keys, raw: &RawSpec, tensors: &RopeTensors) -> Result<RopeScaling, SpecError> {
    let wide = |list: &[f32]| list.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    let original = keys.integer("rope.scaling.original_context_length")?;
    if let (Some(short), Some(long)) = (&tensors.short, &tensors.long) {
        return Ok(RopeScaling::LongRope {
            short: wide(short),
            long: wide(long),
            original_context: original.unwrap_or(raw.context_length),
            attention_factor: keys.number("rope.scaling.attn_factor")?.unwrap_or(1.0),
        });
    }
    let stretched = keys.text("rope.scaling.type")?.is_some_and(|kind| kind == "yarn");
    let factor = keys.number("rope.scaling.attn_factor")?.filter(|f| *f != 1.0 && !stretched);
    if let Some(factor) = factor {
        let problem = format!("is {factor}, which is supported with yarn and longrope only");
        return Err(SpecError::value(keys.full("rope.scaling.attn_factor"), problem));
    }
    if let Some(freqs) = &tensors.freqs {
        return Ok(RopeScaling::Divisors(wide(freqs)));
    }
    // Before `rope.scaling.*`, converters wrote only a linear factor.
    let factor = keys.first("rope.scaling.factor", "rope.scale_linear")?;
    let default = if factor.is_some() { "linear" } else { "none" };
    match keys.text("rope.scaling.type")?.unwrap_or(default) {
        "none" | "" => Ok(RopeScaling::None),
        // A factor of 0 means "not scaled" in GGUF.
        "linear" => Ok(match factor.filter(|f| *f != 0.0) {
            Some(factor) => RopeScaling::Linear { factor },
            None => RopeScaling::None,
        }),
        "yarn" => yarn(keys, factor, original.unwrap_or(raw.context_length)),
        other => Err(SpecError::value("rope.scaling.type", format!("{other:?} is not supported"))),
    }
}

fn yarn(
    keys: &Keys,
    factor: Option<f64>,
    original_context: usize,
) -> Result<RopeScaling, SpecError> {
    let factor = factor.ok_or_else(|| keys.missing("rope.scaling.factor"))?;
    let extra = keys.first("rope.scaling.yarn_attn_factor", "rope.scaling.attn_factor")?;
    Ok(RopeScaling::Yarn {
        factor,
        original_context,
        beta_fast: keys.number("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
        beta_slow: keys.number("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
        truncate: Rounding::Whole,
        attention_factor: Some(
            extra.unwrap_or(1.0) * crate::decoder::rope::yarn_attention_factor(factor),
        ),
    })
}

/// Metadata under the architecture's prefix.
struct Keys<'a> {
    metadata: &'a Metadata,
    arch: &'static str,
}

impl<'a> Keys<'a> {
    fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.arch)
    }

    fn missing(&self, key: &str) -> SpecError {
        SpecError::Missing(format!("metadata key {}", self.full(key)))
    }

    fn integer(&self, key: &str) -> Result<Option<usize>, SpecError> {
        Ok(self.metadata.integer(&self.full(key))?)
    }

    fn need(&self, key: &str) -> Result<usize, SpecError> {
        self.integer(key)?.ok_or_else(|| self.missing(key))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, SpecError> {
        Ok(self.metadata.number(&self.full(key))?)
    }

    /// The number of the first key that is there.
    fn first(&self, key: &str, other: &str) -> Result<Option<f64>, SpecError> {
        match self.number(key)? {
            Some(found) => Ok(Some(found)),
            None => self.number(other),
        }
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, SpecError> {
        Ok(self.metadata.text(&self.full(key))?)
    }
}
