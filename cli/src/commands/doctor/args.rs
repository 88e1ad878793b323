//! Flags of `doctor`.

use crate::flags::model::SourceArgs;
use clap::Args;
use std::path::PathBuf;

/// Flags of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The model to look for [default: smollm2-135m-instruct].
    #[arg(short, long, value_name = "WHAT", help_heading = "Model")]
    pub model: Option<String>,
    /// Where its files come from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// The folder of a server's state [default: $XDG_STATE_HOME/trimtab].
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// The port a server is to listen at.
    #[arg(long, value_name = "N", default_value_t = 8080)]
    pub port: u16,
}
