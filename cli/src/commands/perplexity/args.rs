//! Flags of `perplexity`.

use crate::flags::model::ModelArgs;
use crate::flags::vectors::VectorArgs;
use clap::Args;
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
    /// Also measure how far the steered predictions are from the plain ones; needs a vector.
    #[arg(long)]
    pub kl_divergence: bool,
    /// The vectors.
    #[command(flatten)]
    pub vectors: VectorArgs,
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
}
