//! Flags of `chat`.

use crate::flags::model::{ModelArgs, TemplateArgs};
use crate::flags::monitor::MonitorArgs;
use crate::flags::sampling::SamplingArgs;
use crate::flags::vectors::VectorArgs;
use clap::Args;

/// Flags of `chat`.
#[derive(Debug, Args)]
pub struct ChatArgs {
    /// What the model is told before the conversation (also -sys).
    #[arg(long, value_name = "TEXT")]
    pub system_prompt: Option<String>,
    /// Answer every message twice: plain, then steered, with the same seed.
    #[arg(long)]
    pub compare: bool,
    /// The vectors.
    #[command(flatten)]
    pub vectors: VectorArgs,
    /// Who watches.
    #[command(flatten)]
    pub monitor: MonitorArgs,
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// What the chat template is given.
    #[command(flatten)]
    pub template: TemplateArgs,
    /// Sampling.
    #[command(flatten)]
    pub sampling: SamplingArgs,
}
