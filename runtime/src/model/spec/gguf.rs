//! Reading a spec from GGUF metadata.
//!
//! Keys are those llama.cpp's converter writes. What llama.cpp keeps in its code instead of the file (Gemma 3's
//! 5:1 pattern of local and global blocks, its local rope base) is kept here beside the key that overrides it.

use super::arch::Architecture;
use super::{ModelSpec, RawSpec, SpecError};
use crate::model::rope::{RopeScaling, RopeSpec, Rounding};
use crate::model::weights::metadata::Metadata;

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
    let arch = Architecture::by_gguf_name(name)?;
    let keys = Keys { metadata, arch: arch.name };
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
    let raw = RawSpec {
        attn_scale: attention_scale(arch, &raw),
        windows: windows(&keys, raw.n_layers)?,
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

fn windows(keys: &Keys, layers: usize) -> Result<Vec<Option<usize>>, SpecError> {
    super::within("block count", layers, super::MOST_LAYERS)?;
    let window = keys.integer("attention.sliding_window")?.filter(|w| *w > 0);
    if keys.arch == "olmo2" && window.is_some() {
        // OLMo 3 goes by this name in GGUF; which of its blocks are local is not in the file.
        return Err(SpecError::value(keys.full("attention.sliding_window"), "is not supported"));
    }
    let pattern = if keys.arch == "gemma3" { 6 } else { 0 };
    let local = |l: usize| pattern == 0 || !(l + 1).is_multiple_of(pattern);
    Ok((0..layers).map(|l| window.filter(|_| local(l))).collect())
}

/// The global table first, the local one (if any) last.
fn ropes(
    keys: &Keys,
    arch: &'static Architecture,
    raw: &RawSpec,
    tensors: &RopeTensors,
) -> Result<Vec<RopeSpec>, SpecError> {
    let head_dim = raw.head_dim.unwrap_or_else(|| raw.d_model / raw.n_heads.max(1));
    let global = RopeSpec {
        base: keys.number("rope.freq_base")?.unwrap_or(10_000.0),
        rotary_dim: keys.integer("rope.dimension_count")?.unwrap_or(head_dim),
        style: arch.gguf_rope,
        scaling: scaling(keys, raw, tensors)?,
    };
    if arch.name != "gemma3" {
        return Ok(vec![global]);
    }
    let local = RopeSpec {
        base: keys.number("rope.freq_base_swa")?.unwrap_or(10_000.0),
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
    if let Some(freqs) = &tensors.freqs {
        return Ok(RopeScaling::Divisors(wide(freqs)));
    }
    // Before `rope.scaling.*`, converters wrote only a linear factor.
    let legacy = keys.number("rope.scale_linear")?;
    let factor = match keys.number("rope.scaling.factor")? {
        Some(f) => Some(f),
        None => legacy,
    };
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
    let extra = match keys.number("rope.scaling.yarn_attn_factor")? {
        Some(f) => f,
        None => keys.number("rope.scaling.attn_factor")?.unwrap_or(1.0),
    };
    Ok(RopeScaling::Yarn {
        factor,
        original_context,
        beta_fast: keys.number("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
        beta_slow: keys.number("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
        truncate: Rounding::Whole,
        attention_factor: Some(extra * crate::model::rope::yarn_attention_factor(factor)),
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

    fn text(&self, key: &str) -> Result<Option<&'a str>, SpecError> {
        Ok(self.metadata.text(&self.full(key))?)
    }
}
