//! Flags of `inspect`.

use crate::flags::model::ModelArgs;
use clap::Args;
use std::path::PathBuf;

/// Flags of `inspect`. No model is loaded unless one is named.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Vector files, native or of another program.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Added to every layer number of a file whose numbers have two readings.
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub layer_shift: Option<i64>,
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
}
