//! Flags of `audit`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Flags of `audit`.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true, args_conflicts_with_subcommands = true)]
pub struct AuditArgs {
    /// What to do instead of listing.
    #[command(subcommand)]
    pub command: Option<AuditCommand>,
    /// Only what is not older, such as 90s, 30m, 24h or 7d.
    #[arg(long, value_name = "AGE")]
    pub since: Option<String>,
    /// How many.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
    /// How and from where.
    #[command(flatten)]
    pub reading: AuditReading,
}

/// The subcommands of `audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Tell what happened to one answer, step by step.
    Show {
        /// The id of its request, or of its response.
        #[arg(value_name = "REQUEST")]
        request: String,
        /// How and from where.
        #[command(flatten)]
        reading: AuditReading,
    },
}

/// What listing and showing share.
#[derive(Debug, Args)]
pub struct AuditReading {
    /// Show what was taken back in words, where serve --audit-text kept it.
    #[arg(long)]
    pub text: bool,
    /// The folder of the server's state [default: $XDG_STATE_HOME/trimtab].
    #[arg(long, alias = "state", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}
