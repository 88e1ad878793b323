//! Flags of `models`.

use crate::error::Result;
use crate::flags::model::{Source, SourceArgs};
use clap::{Args, Subcommand};

/// Flags of `models`.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub struct ModelsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ModelsCommand,
}

/// What to do with models.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Show the models that have a name, and which of them are here.
    List,
    /// Fetch a model and print where it is.
    Pull(Target),
    /// Describe a model: shape, tensors, template, memory, tokens.
    Info(Target),
    /// Print where a model's files are; fetches nothing.
    Path(Target),
}

/// Which model.
#[derive(Debug, Args)]
pub struct Target {
    /// The same as --model.
    #[arg(value_name = "WHAT", conflicts_with = "hf_repo")]
    pub what: Option<String>,
    /// A .gguf file, a folder, hf:owner/repo[:file], or a name that `models list` shows
    /// [default: smollm2-135m-instruct].
    #[arg(
        short,
        long,
        visible_alias = "model-id",
        value_name = "WHAT",
        conflicts_with_all = ["hf_repo", "what"],
        help_heading = "Model"
    )]
    pub model: Option<String>,
    /// Where its files come from.
    #[command(flatten)]
    pub source: SourceArgs,
}

impl Target {
    /// The model and where its files come from.
    pub fn source(self) -> Result<Source> {
        Source::of(self.what.or(self.model), self.source)
    }
}
