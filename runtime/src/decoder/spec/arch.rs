//! The table of architectures: what differs between them beyond numbers.
//!
//! A new architecture that fits the one decoder is a new row here and nothing else.

use super::Activation;
use crate::decoder::rope::RopeStyle;

/// Where a block normalises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormPlacement {
    /// Before attention and before the MLP (Llama).
    Pre,
    /// Only after them, before the addition (OLMo 2).
    Post,
    /// Before and after (Gemma 3).
    Both,
}

/// How queries and keys are normalised before rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QkNorm {
    /// Not at all.
    None,
    /// One RMS norm per head of width `head_dim`.
    PerHead,
    /// One RMS norm over all heads together.
    FullWidth,
}

/// Whether neighbouring products share one matrix in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fusing {
    /// q, k, v, gate and up apart.
    Split,
    /// One q‖k‖v and one gate‖up matrix (Phi-3).
    Fused,
}

/// How token embeddings are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbedScale {
    /// Not.
    One,
    /// By √d_model, as Gemma does.
    SqrtWidth,
}

/// One row of the table.
#[derive(Debug, PartialEq)]
pub struct Architecture {
    /// Its name here and in GGUF's `general.architecture`.
    pub name: &'static str,
    /// How GGUF stores rotary pairs. safetensors always hold [`RopeStyle::Halves`].
    pub gguf_rope: RopeStyle,
    /// Where norms are.
    pub norms: NormPlacement,
    /// Query and key norms.
    pub qk_norm: QkNorm,
    /// Fused matrices.
    pub fusing: Fusing,
    /// Non-linearity unless `config.json` says otherwise.
    pub activation: Activation,
    /// Embedding scale.
    pub embed: EmbedScale,
    /// Added to norm weights read from safetensors.
    pub safetensors_norm_offset: f64,
    /// Of how many blocks the last has no window, where a file with a window does not say; 0 if all have it.
    pub window_period: usize,
    /// The rotary base of blocks with a window, where it is another than that of the others.
    pub local_base: Option<f64>,
}

/// Of how many blocks of Gemma 3 the last has no window.
pub const GEMMA3_PERIOD: usize = 6;

/// The row that most others vary.
const LLAMA: Architecture = Architecture {
    name: "llama",
    gguf_rope: RopeStyle::Interleaved,
    norms: NormPlacement::Pre,
    qk_norm: QkNorm::None,
    fusing: Fusing::Split,
    activation: Activation::Silu,
    embed: EmbedScale::One,
    safetensors_norm_offset: 0.0,
    window_period: 0,
    local_base: None,
};

/// Every architecture the decoder runs.
pub const ARCHITECTURES: &[Architecture] = &[
    LLAMA,
    Architecture { name: "qwen2", gguf_rope: RopeStyle::Halves, ..LLAMA },
    Architecture { name: "qwen3", gguf_rope: RopeStyle::Halves, qk_norm: QkNorm::PerHead, ..LLAMA },
    Architecture {
        name: "gemma3",
        gguf_rope: RopeStyle::Halves,
        norms: NormPlacement::Both,
        qk_norm: QkNorm::PerHead,
        activation: Activation::GeluTanh,
        embed: EmbedScale::SqrtWidth,
        safetensors_norm_offset: 1.0,
        window_period: GEMMA3_PERIOD,
        local_base: Some(10_000.0),
        ..LLAMA
    },
    Architecture {
        name: "olmo2",
        gguf_rope: RopeStyle::Halves,
        norms: NormPlacement::Post,
        qk_norm: QkNorm::FullWidth,
        ..LLAMA
    },
    Architecture { name: "phi3", gguf_rope: RopeStyle::Halves, fusing: Fusing::Fused, ..LLAMA },
];

impl Architecture {
    /// The row of an architecture's name, which is also GGUF's.
    pub fn named(name: &str) -> Result<&'static Architecture, super::SpecError> {
        ARCHITECTURES.iter().find(|a| a.name == name).ok_or_else(|| {
            let known: Vec<&str> = ARCHITECTURES.iter().map(|a| a.name).collect();
            super::SpecError::Architecture { found: name.to_owned(), known: known.join(", ") }
        })
    }

    /// The roles that have a tensor in every block.
    pub fn block_roles(&self) -> Vec<Role> {
        use NormPlacement::{Both, Post, Pre};
        let mut roles = match self.norms {
            Pre => vec![Role::AttnNorm, Role::MlpNorm],
            Post => vec![Role::AttnPostNorm, Role::MlpPostNorm],
            Both => vec![Role::AttnNorm, Role::AttnPostNorm, Role::MlpNorm, Role::MlpPostNorm],
        };
        if self.qk_norm != QkNorm::None {
            roles.extend([Role::QueryNorm, Role::KeyNorm]);
        }
        roles.extend(match self.fusing {
            Fusing::Split => [Role::Query, Role::Key, Role::Value, Role::Gate, Role::Up].as_slice(),
            Fusing::Fused => [Role::QueryKeyValue, Role::GateUp].as_slice(),
        });
        roles.extend([Role::AttnOut, Role::Down]);
        roles
    }

    /// The factor on token embeddings.
    pub fn embed_scale(&self, d_model: usize) -> f64 {
        match self.embed {
            EmbedScale::One => 1.0,
            EmbedScale::SqrtWidth => (d_model as f64).sqrt(),
        }
    }
}

impl Role {
    /// Whether it is a product of a block, which may have a bias.
    pub fn is_linear(self) -> bool {
        match self {
            Role::Query
            | Role::Key
            | Role::Value
            | Role::QueryKeyValue
            | Role::AttnOut
            | Role::Gate
            | Role::Up
            | Role::GateUp
            | Role::Down => true,
            Role::Embed
            | Role::OutputNorm
            | Role::Head
            | Role::AttnNorm
            | Role::AttnPostNorm
            | Role::MlpNorm
            | Role::MlpPostNorm
            | Role::QueryNorm
            | Role::KeyNorm => false,
        }
    }
}

/// What a tensor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the variants are the parts of a block, under the names every architecture uses
pub enum Role {
    Embed,
    OutputNorm,
    Head,
    AttnNorm,
    AttnPostNorm,
    MlpNorm,
    MlpPostNorm,
    Query,
    Key,
    Value,
    QueryKeyValue,
    QueryNorm,
    KeyNorm,
    AttnOut,
    Gate,
    Up,
    GateUp,
    Down,
}

/// A tensor's name in a GGUF file, without `.weight` or `.bias`.
pub fn gguf_name(role: Role, layer: usize) -> String {
    let part = match role {
        Role::Embed => return "token_embd".to_owned(),
        Role::OutputNorm => return "output_norm".to_owned(),
        Role::Head => return "output".to_owned(),
        Role::AttnNorm => "attn_norm",
        Role::AttnPostNorm => "post_attention_norm",
        Role::MlpNorm => "ffn_norm",
        Role::MlpPostNorm => "post_ffw_norm",
        Role::Query => "attn_q",
        Role::Key => "attn_k",
        Role::Value => "attn_v",
        Role::QueryKeyValue => "attn_qkv",
        Role::QueryNorm => "attn_q_norm",
        Role::KeyNorm => "attn_k_norm",
        Role::AttnOut => "attn_output",
        Role::Gate => "ffn_gate",
        // Phi-3 keeps gate‖up under the name of up.
        Role::Up | Role::GateUp => "ffn_up",
        Role::Down => "ffn_down",
    };
    format!("blk.{layer}.{part}")
}

/// A tensor's name in a safetensors file, behind the prefix of the decoder and without `.weight` or `.bias`. The
/// head stands beside the decoder and has its own prefix.
pub fn safetensors_name(norms: NormPlacement, role: Role, layer: usize) -> String {
    let part = match role {
        Role::Embed => return "embed_tokens".to_owned(),
        Role::OutputNorm => return "norm".to_owned(),
        Role::Head => return "lm_head".to_owned(),
        Role::AttnNorm => "input_layernorm",
        Role::AttnPostNorm => "post_attention_layernorm",
        // Llama calls the norm before its MLP "post attention"; Gemma 3 keeps that word for the post-norm.
        Role::MlpNorm if norms == NormPlacement::Both => "pre_feedforward_layernorm",
        Role::MlpNorm => "post_attention_layernorm",
        Role::MlpPostNorm => "post_feedforward_layernorm",
        Role::Query => "self_attn.q_proj",
        Role::Key => "self_attn.k_proj",
        Role::Value => "self_attn.v_proj",
        Role::QueryKeyValue => "self_attn.qkv_proj",
        Role::QueryNorm => "self_attn.q_norm",
        Role::KeyNorm => "self_attn.k_norm",
        Role::AttnOut => "self_attn.o_proj",
        Role::Gate => "mlp.gate_proj",
        Role::Up => "mlp.up_proj",
        Role::GateUp => "mlp.gate_up_proj",
        Role::Down => "mlp.down_proj",
    };
    format!("layers.{layer}.{part}")
}
