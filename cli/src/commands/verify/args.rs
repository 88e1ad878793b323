//! Flags of `verify`.

use crate::flags::model::ModelArgs;
use crate::flags::vectors::{Asked, asked};
use clap::Args;
use std::path::PathBuf;

/// Flags of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A vector file, with :SCALE for another scale than its own; without one a throw-away vector is used.
    #[arg(value_name = "FILE[:SCALE]", value_parser = asked)]
    pub file: Option<Asked>,
    /// Leave the timed check out.
    #[arg(long)]
    pub quick: bool,
    /// Also write the report here, as text to paste.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Added to every layer number of a file whose numbers have two readings.
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub layer_shift: Option<i64>,
    /// Use a vector of another model all the same: the beginning of its weights hash, or unpinned.
    #[arg(long, value_name = "HEX|unpinned", value_delimiter = ',')]
    pub accept_model: Vec<String>,
    /// Use a vector that was measured and has no effect.
    #[arg(long)]
    pub allow_null: bool,
    #[command(flatten)]
    pub model: ModelArgs,
}
