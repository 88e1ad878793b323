//! Flags of `traces`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Flags of `traces`.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub struct TracesArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TracesCommand,
}

/// The subcommands of `traces`.
#[derive(Debug, Subcommand)]
pub enum TracesCommand {
    /// List the newest.
    List {
        /// How many.
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
        most: u32,
        /// The folder of the server's state [default: $XDG_STATE_HOME/trimtab].
        #[arg(long, value_name = "DIR")]
        state_dir: Option<PathBuf>,
    },
    /// Print the receipt of one, which `generate --replay` takes.
    Show {
        /// The id of its response.
        #[arg(value_name = "RESPONSE")]
        response: String,
        /// The folder of the server's state [default: $XDG_STATE_HOME/trimtab].
        #[arg(long, value_name = "DIR")]
        state_dir: Option<PathBuf>,
    },
    /// Delete all of one owner, or what is old, and leave no text behind.
    Delete {
        /// The label of the owner's key.
        #[arg(long, value_name = "LABEL", required_unless_present = "old")]
        owner: Option<String>,
        /// What is beyond 10,000 traces or older than 24 hours.
        #[arg(long, conflicts_with = "owner")]
        old: bool,
        /// The folder of the server's state [default: $XDG_STATE_HOME/trimtab].
        #[arg(long, value_name = "DIR")]
        state_dir: Option<PathBuf>,
    },
}
