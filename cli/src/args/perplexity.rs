//! Flags of `perplexity`.

use super::{ModelArgs, Switch, switch};
use clap::{ArgAction, Args};
use std::path::PathBuf;

/// Flags of `perplexity`; `--ctx-size` is the window and 512 where it is not given.
#[derive(Debug, Args)]
pub struct PerplexityArgs {
    /// The text.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Tokens between windows, of each of which the last N are scored; 0 for windows side by side.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub ppl_stride: usize,
    /// The most windows that are measured [default: all].
    #[arg(long, value_name = "N")]
    pub chunks: Option<usize>,
    /// Compare the predictions under vectors with those without.
    #[arg(long, action = ArgAction::SetTrue, value_parser = switch::parse)]
    pub kl_divergence: Switch,
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
}
