//! The `model_type` values of `config.json`, and what transformers takes for a field that the file leaves out.
//!
//! Files leave out what equals the default of their configuration class, so a missing field has a value, and another
//! one in each class. The numbers are those of transformers 5.23.0 (`configuration_*.py`).

use super::SpecError;
use super::arch::{self, Role};

/// Which blocks have a sliding window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Windowed {
    /// None, whatever the file says: the class has no window.
    Never,
    /// All.
    All,
    /// Those from `max_window_layers` on, once `use_sliding_window` is true.
    Switched {
        /// `max_window_layers`.
        from: usize,
    },
    /// All but each one that closes a period of `sliding_window_pattern` blocks.
    Pattern {
        /// `sliding_window_pattern`.
        period: usize,
    },
}

/// Which products may have a bias. One that the file leaves out is zero, as in transformers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Biases {
    /// All.
    Any,
    /// None.
    None,
    /// Queries, keys and values.
    Qkv,
    /// All of attention.
    Attention,
    /// All of the MLP.
    Mlp,
}

impl Biases {
    /// Whether a product of this role may have one.
    pub fn allow(self, role: Role) -> bool {
        let of_mlp = matches!(role, Role::Gate | Role::Up | Role::GateUp | Role::Down);
        match self {
            Biases::Any => true,
            Biases::None => false,
            Biases::Qkv => !of_mlp && role != Role::AttnOut,
            Biases::Attention => !of_mlp,
            Biases::Mlp => of_mlp,
        }
    }
}

/// What decides about biases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BiasRule {
    /// The class.
    Always(Biases),
    /// `attention_bias` for attention; the MLP has none.
    AttentionField,
    /// `attention_bias` for attention, `mlp_bias` for the MLP.
    BothFields,
}

/// One `model_type`.
#[derive(Debug, PartialEq)]
pub struct ModelType {
    /// As `config.json` says it.
    pub name: &'static str,
    /// Its row of [`ARCHITECTURES`](super::arch::ARCHITECTURES).
    pub arch: &'static str,
    /// `num_attention_heads`
    pub heads: usize,
    /// `num_key_value_heads`; `None` for as many as query heads.
    pub kv_heads: Option<usize>,
    /// `head_dim`; `None` for the width over the heads.
    pub head_dim: Option<usize>,
    /// `vocab_size`
    pub vocab_size: usize,
    /// `max_position_embeddings`
    pub context_length: usize,
    /// `original_max_position_embeddings`; `None` for the context.
    pub original_context: Option<usize>,
    /// `rms_norm_eps`
    pub norm_eps: f64,
    /// `rope_theta`, of blocks without a window.
    pub rope_base: f64,
    /// `query_pre_attn_scalar`; `None` where the class has no such field and takes the head's width.
    pub attn_scalar: Option<f64>,
    /// Which blocks have a window.
    pub windowed: Windowed,
    /// `sliding_window`, where the field is missing; a null there is no window.
    pub window: Option<usize>,
    /// Which products have a bias.
    pub biases: BiasRule,
    /// `tie_word_embeddings`
    pub head: HeadSource,
    /// The field of the non-linearity.
    pub activation: &'static str,
    /// `partial_rotary_factor`
    pub partial: Partial,
    /// What `yarn` is.
    pub yarn: Yarn,
}

/// Whether a class rotates a part of each head where the file says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partial {
    /// It does.
    Read,
    /// It does so with some scalings and not with others, so a part is refused.
    Refused,
}

/// What a class means by the scaling `yarn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Yarn {
    /// YaRN.
    Yarn,
    /// LongRoPE under an older name.
    LongRope,
}

/// Where the output matrix comes from, if the file has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadSource {
    /// It is the embedding.
    Tied,
    /// The file must have one.
    Own,
}

/// The row that most others vary.
const LLAMA: ModelType = ModelType {
    name: "llama",
    arch: "llama",
    heads: 32,
    kv_heads: None,
    head_dim: None,
    vocab_size: 32_000,
    context_length: 2_048,
    original_context: None,
    norm_eps: 1e-6,
    rope_base: 10_000.0,
    attn_scalar: None,
    windowed: Windowed::Never,
    window: None,
    biases: BiasRule::BothFields,
    head: HeadSource::Own,
    activation: "hidden_act",
    partial: Partial::Refused,
    yarn: Yarn::Yarn,
};

const QWEN2: ModelType = ModelType {
    name: "qwen2",
    arch: "qwen2",
    kv_heads: Some(32),
    vocab_size: 151_936,
    context_length: 32_768,
    windowed: Windowed::Switched { from: 28 },
    window: Some(4_096),
    biases: BiasRule::Always(Biases::Qkv),
    ..LLAMA
};

/// Every model type that can be read.
pub const MODEL_TYPES: &[ModelType] = &[
    LLAMA,
    // Not a name of transformers; its models are called llama there.
    ModelType { name: "smollm2", ..LLAMA },
    ModelType {
        name: "mistral",
        kv_heads: Some(8),
        context_length: 131_072,
        windowed: Windowed::All,
        window: Some(4_096),
        biases: BiasRule::Always(Biases::None),
        ..LLAMA
    },
    QWEN2,
    ModelType {
        name: "qwen3",
        arch: "qwen3",
        head_dim: Some(128),
        biases: BiasRule::AttentionField,
        ..QWEN2
    },
    ModelType {
        name: "gemma3_text",
        arch: "gemma3",
        heads: 8,
        kv_heads: Some(4),
        head_dim: Some(256),
        vocab_size: 262_208,
        context_length: 131_072,
        rope_base: 1_000_000.0,
        attn_scalar: Some(256.0),
        windowed: Windowed::Pattern { period: arch::GEMMA3_PERIOD },
        window: Some(4_096),
        biases: BiasRule::AttentionField,
        head: HeadSource::Tied,
        activation: "hidden_activation",
        ..LLAMA
    },
    ModelType {
        name: "olmo2",
        arch: "olmo2",
        vocab_size: 50_304,
        norm_eps: 1e-5,
        biases: BiasRule::AttentionField,
        ..LLAMA
    },
    ModelType {
        name: "phi3",
        arch: "phi3",
        vocab_size: 32_064,
        context_length: 4_096,
        original_context: Some(4_096),
        norm_eps: 1e-5,
        windowed: Windowed::All,
        biases: BiasRule::Always(Biases::None),
        partial: Partial::Read,
        yarn: Yarn::LongRope,
        ..LLAMA
    },
];

/// A model type that describes its language model in `text_config`.
#[derive(Debug, PartialEq)]
pub struct Composite {
    /// As `config.json` says it.
    pub name: &'static str,
    /// The language model's type, where `text_config` does not say it.
    pub text: &'static str,
    /// `tie_word_embeddings` beside `text_config`; the one in it is not read.
    pub head: HeadSource,
}

/// Every model type with a `text_config` that can be read. What the file holds besides the language model is not.
pub const COMPOSITES: &[Composite] = &[
    Composite { name: "gemma3", text: "gemma3_text", head: HeadSource::Tied },
    Composite { name: "mistral3", text: "mistral", head: HeadSource::Tied },
];

impl ModelType {
    /// The row of a `model_type`.
    pub fn named(name: &str) -> Result<&'static ModelType, SpecError> {
        MODEL_TYPES.iter().find(|t| t.name == name).ok_or_else(|| {
            let plain = MODEL_TYPES.iter().map(|t| t.name);
            let known: Vec<&str> = plain.chain(COMPOSITES.iter().map(|c| c.name)).collect();
            SpecError::ModelType { found: name.to_owned(), known: known.join(", ") }
        })
    }
}
