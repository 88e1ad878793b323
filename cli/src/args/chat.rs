//! Flags of `chat`.

use super::{ModelArgs, MonitorArgs, SamplingArgs, Switch, TemplateArgs, VectorArgs, switch};
use clap::{ArgAction, Args};

/// Flags of `chat`.
#[derive(Debug, Args)]
pub struct ChatArgs {
    /// What the model is told before the conversation (also -sys).
    #[arg(long, value_name = "TEXT")]
    pub system_prompt: Option<String>,
    /// Answer every message twice: plain, then steered, with the same seed.
    #[arg(long, action = ArgAction::SetTrue, value_parser = switch::parse)]
    pub compare: Switch,
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
