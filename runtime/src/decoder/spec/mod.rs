//! What a model is, as data: every architecture is a `ModelSpec` over one decoder.
//!
//! A spec is read from GGUF metadata ([`gguf`]) or from a Hugging Face `config.json` ([`config`]) and checked in
//! one place (`ModelSpec::check`), because files lie: counts are bounded, numbers are finite, widths divide.
//! What differs between architectures beyond numbers (norm placement, names) is a row of [`arch::ARCHITECTURES`];
//! what a `config.json` may leave out is a row of [`model_type::MODEL_TYPES`].

pub mod arch;
pub mod config;
pub mod gguf;
mod json;
pub mod model_type;
mod rotary;
#[cfg(test)]
mod tests;

pub use crate::kernels::prologue::Activation;

use crate::decoder::rope::RopeSpec;
use crate::kv::KvType;
use arch::Architecture;
use model_type::Biases;

/// A model description that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// No decoder for this architecture.
    #[error("architecture {found:?} is not supported; known: {known}")]
    Architecture {
        /// As the file says it.
        found: String,
        /// The names this build knows.
        known: String,
    },
    /// No decoder for this `model_type` of a `config.json`.
    #[error("model_type {found:?} is not supported; known: {known}")]
    ModelType {
        /// As the file says it.
        found: String,
        /// The types this build knows.
        known: String,
    },
    /// A file that holds something else than a model.
    #[error("file holds {0}")]
    NotAModel(&'static str),
    /// A field that must be there is not.
    #[error("{0} is missing")]
    Missing(String),
    /// A field has a value this decoder cannot use.
    #[error("{field} {problem}")]
    Value {
        /// The field as the file names it.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A metadata value of the wrong kind.
    #[error(transparent)]
    Kind(#[from] crate::decoder::weights::metadata::WrongKind),
}

impl SpecError {
    pub(crate) fn value(field: impl Into<String>, problem: impl Into<String>) -> Self {
        SpecError::Value { field: field.into(), problem: problem.into() }
    }
}

/// How one block attends.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerSpec {
    /// How many positions a query sees, its own included; `None` for all.
    pub window: Option<usize>,
    /// Index into [`ModelSpec::ropes`].
    pub rope: usize,
}

/// A checked model description.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// Row of the architecture table.
    pub arch: &'static Architecture,
    /// Name the file gives itself, empty if none.
    pub name: String,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key–value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Inner width of the MLP.
    pub d_ff: usize,
    /// Token ids the head scores.
    pub vocab_size: usize,
    /// Longest sequence the model was made for.
    pub context_length: usize,
    /// Added to the mean square in RMS norms.
    pub norm_eps: f64,
    /// Added to every norm weight on load (Gemma stores w − 1 in safetensors).
    pub norm_offset: f64,
    /// MLP non-linearity.
    pub activation: Activation,
    /// Multiplies token embeddings.
    pub embed_scale: f64,
    /// Multiplies q·k.
    pub attn_scale: f64,
    /// cap·tanh(x/cap) on attention scores.
    pub attn_softcap: Option<f64>,
    /// cap·tanh(x/cap) on logits.
    pub logit_softcap: Option<f64>,
    /// Rotary tables, shared by layers.
    pub ropes: Vec<RopeSpec>,
    /// One entry per block.
    pub layers: Vec<LayerSpec>,
    /// Which products may have a bias.
    pub biases: Biases,
}

/// What a file says, before it is believed.
#[derive(Debug, Clone, Default)]
pub(crate) struct RawSpec {
    pub name: String,
    pub d_model: usize,
    pub n_layers: usize,
    pub n_heads: usize,
    pub n_kv_heads: Option<usize>,
    pub head_dim: Option<usize>,
    pub d_ff: usize,
    pub vocab_size: usize,
    pub context_length: usize,
    pub norm_eps: f64,
    pub norm_offset: f64,
    pub activation: Option<Activation>,
    pub attn_scale: Option<f64>,
    pub attn_softcap: Option<f64>,
    pub logit_softcap: Option<f64>,
    pub ropes: Vec<RopeSpec>,
    /// Window of each block; shorter lists are an error.
    pub windows: Vec<Option<usize>>,
    /// `None` where the format does not say: any product may have one.
    pub biases: Option<Biases>,
}

/// Bounds that no real model passes and that keep a malformed file from asking for absurd memory.
const MOST_LAYERS: usize = 1024;
const WIDEST: usize = 1 << 18;
const LARGEST_VOCABULARY: usize = 1 << 22;
const LONGEST_CONTEXT: usize = 1 << 28;

impl ModelSpec {
    /// Blocks in the model.
    pub fn n_layers(&self) -> usize {
        self.layers.len()
    }

    /// The context of pre-training beyond which LongRoPE takes its other list of factors; `None` for models that have
    /// one list.
    pub fn rope_border(&self) -> Option<usize> {
        self.ropes.iter().find_map(RopeSpec::border)
    }

    /// Bytes of keys and values one token needs.
    pub fn kv_bytes_per_token(&self, kind: KvType) -> usize {
        2 * kind.bytes() * self.n_layers() * self.n_kv_heads * self.head_dim
    }

    /// Believes a raw description or says what is wrong with it.
    pub(crate) fn check(arch: &'static Architecture, raw: RawSpec) -> Result<Self, SpecError> {
        within("block count", raw.n_layers, MOST_LAYERS)?;
        within("embedding width", raw.d_model, WIDEST)?;
        within("feed-forward width", raw.d_ff, WIDEST * 4)?;
        within("head count", raw.n_heads, WIDEST)?;
        within("vocabulary size", raw.vocab_size, LARGEST_VOCABULARY)?;
        within("context length", raw.context_length, LONGEST_CONTEXT)?;
        let (n_kv_heads, head_dim) = head_shape(&raw)?;
        let scale = raw.attn_scale.unwrap_or_else(|| 1.0 / (head_dim as f64).sqrt());
        for (field, value) in [("norm epsilon", raw.norm_eps), ("attention scale", scale)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(SpecError::value(field, format!("is {value}, not a positive number")));
            }
        }
        for cap in [raw.attn_softcap, raw.logit_softcap].into_iter().flatten() {
            if !(cap.is_finite() && cap > 0.0) {
                return Err(SpecError::value("soft cap", format!("is {cap}, not positive")));
            }
        }
        let layers = layer_specs(&raw)?;
        for rope in &raw.ropes {
            rope.check(head_dim)?;
        }
        Ok(ModelSpec {
            arch,
            name: raw.name,
            d_model: raw.d_model,
            n_heads: raw.n_heads,
            n_kv_heads,
            head_dim,
            d_ff: raw.d_ff,
            vocab_size: raw.vocab_size,
            context_length: raw.context_length,
            norm_eps: raw.norm_eps,
            norm_offset: raw.norm_offset,
            activation: raw.activation.unwrap_or(arch.activation),
            embed_scale: arch.embed_scale(raw.d_model),
            attn_scale: scale,
            attn_softcap: raw.attn_softcap,
            logit_softcap: raw.logit_softcap,
            ropes: raw.ropes,
            layers,
            biases: raw.biases.unwrap_or(Biases::Any),
        })
    }
}

fn within(field: &str, value: usize, most: usize) -> Result<(), SpecError> {
    if value == 0 || value > most {
        return Err(SpecError::value(field, format!("is {value}, not between 1 and {most}")));
    }
    Ok(())
}

fn head_shape(raw: &RawSpec) -> Result<(usize, usize), SpecError> {
    let n_kv = raw.n_kv_heads.unwrap_or(raw.n_heads);
    within("key-value head count", n_kv, raw.n_heads)?;
    if !raw.n_heads.is_multiple_of(n_kv) {
        return Err(SpecError::value(
            "key-value head count",
            format!("{n_kv} does not divide the head count {}", raw.n_heads),
        ));
    }
    let head_dim = match raw.head_dim {
        Some(d) => d,
        None if raw.d_model.is_multiple_of(raw.n_heads) => raw.d_model / raw.n_heads,
        None => {
            return Err(SpecError::value(
                "head count",
                format!("{} does not divide the width {}", raw.n_heads, raw.d_model),
            ));
        }
    };
    within("head width", head_dim, 4096)?;
    Ok((n_kv, head_dim))
}

fn layer_specs(raw: &RawSpec) -> Result<Vec<LayerSpec>, SpecError> {
    if raw.windows.len() != raw.n_layers {
        return Err(SpecError::value(
            "layer types",
            format!("name {} blocks of {}", raw.windows.len(), raw.n_layers),
        ));
    }
    if raw.windows.contains(&Some(0)) {
        return Err(SpecError::value("sliding window", "is 0"));
    }
    let local = raw.ropes.len().saturating_sub(1);
    let rope = |window: &Option<usize>| if window.is_some() { local } else { 0 };
    Ok(raw.windows.iter().map(|w| LayerSpec { window: *w, rope: rope(w) }).collect())
}
