//! Flags of `chat`.

use super::{ModelArgs, SamplingArgs};
use clap::Args;

/// Flags of `chat`.
#[derive(Debug, Args)]
pub struct ChatArgs {
    /// What the model is told before the conversation (also -sys).
    #[arg(long, value_name = "TEXT")]
    pub system_prompt: Option<String>,
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Sampling.
    #[command(flatten)]
    pub sampling: SamplingArgs,
}
