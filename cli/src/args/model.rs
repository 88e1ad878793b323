//! Flags of every command that opens a model.

use super::Switch;
use super::switch;
use clap::{ArgAction, Args, ValueEnum};
use std::path::PathBuf;

/// Where a model's files come from.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// A repository of the Hugging Face hub (also -hf, -hfr).
    #[arg(long, value_name = "USER/REPO[:QUANT]", help_heading = "Model")]
    pub hf_repo: Option<String>,
    /// The file to take from the repository (also -hff).
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    pub hf_file: Option<String>,
    /// Branch, tag or commit of the repository.
    #[arg(long, value_name = "REV", help_heading = "Model")]
    pub revision: Option<String>,
    /// Use no network.
    #[arg(long, help_heading = "Model", action = ArgAction::SetTrue, value_parser = switch::parse)]
    pub offline: Switch,
}

/// Flags of every command that opens a model.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// A .gguf file, a folder, hf:owner/repo[:file], or a name that `models list` shows
    /// [default: smollm2-135m-instruct].
    #[arg(
        short,
        long,
        visible_alias = "model-id",
        value_name = "WHAT",
        conflicts_with = "hf_repo",
        help_heading = "Model"
    )]
    pub model: Option<String>,
    /// Where the files come from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Tokens a sequence may have [default: the model's, at most 8192].
    #[arg(short, long, value_name = "N", help_heading = "Model")]
    pub ctx_size: Option<usize>,
    /// CPU threads [default: physical cores]
    #[arg(short, long, value_name = "N", help_heading = "Model")]
    pub threads: Option<usize>,
    /// Tokens of one sequence that are run in one pass.
    #[arg(short, long, value_name = "N", default_value_t = 512, help_heading = "Model")]
    pub batch_size: usize,
    /// cpu, cuda[:N] or metal [default: the best that is built in] (also -dev).
    #[arg(long, value_name = "DEVICE", help_heading = "Model")]
    pub device: Option<String>,
    /// The same as --device cpu.
    #[arg(
        long,
        conflicts_with = "device",
        help_heading = "Model",
        action = ArgAction::SetTrue,
        value_parser = switch::parse
    )]
    pub cpu: Switch,
    /// Blocks on the GPU: 0 or all [default: all] (also -ngl).
    #[arg(long, visible_alias = "n-gpu-layers", value_name = "N", help_heading = "Model")]
    pub gpu_layers: Option<String>,
    /// Type of dense weights; f32 only on the CPU [default: f32 on the CPU, bf16 elsewhere].
    #[arg(
        long,
        value_enum,
        value_name = "f32|f16|bf16",
        hide_possible_values = true,
        help_heading = "Model"
    )]
    pub dtype: Option<Dtype>,
    /// chatml, or a template's Jinja text [default: the model's].
    #[arg(long, value_name = "chatml|JINJA", help_heading = "Model")]
    pub chat_template: Option<String>,
    /// A file with the chat template.
    #[arg(long, value_name = "FILE", conflicts_with = "chat_template", help_heading = "Model")]
    pub chat_template_file: Option<PathBuf>,
    /// Whether a sequence's results are independent of the others in its batch: always so on the CPU,
    /// not promised elsewhere.
    #[arg(
        long,
        value_enum,
        value_name = "on|off",
        hide_possible_values = true,
        help_heading = "Model"
    )]
    pub batch_invariant: Option<OnOff>,
    /// Type of keys and values; f16 takes half the memory [default: f32].
    #[arg(
        long,
        value_enum,
        value_name = "f32|f16",
        hide_possible_values = true,
        help_heading = "Model"
    )]
    pub kv_type: Option<KvType>,
    /// Memory for keys and values, with K, M or G for multiples of 1024
    /// [default: four full sequences, at most 1G].
    #[arg(long, value_name = "BYTES", help_heading = "Model")]
    pub kv_memory: Option<String>,
}

/// Type of dense weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dtype {
    /// 32-bit floats.
    F32,
    /// 16-bit IEEE floats.
    F16,
    /// bfloat16.
    Bf16,
}

/// Type of keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KvType {
    /// 32-bit floats.
    F32,
    /// 16-bit IEEE floats.
    F16,
}

/// On or off, written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnOff {
    /// On.
    On,
    /// Off.
    Off,
}
