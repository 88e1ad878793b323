//! Flags of `policy`.

use crate::flags::model::ModelArgs;
use clap::{Args, Subcommand};

/// Flags of `policy`.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub struct PolicyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// The subcommands of `policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Say what a policy does in each of the 27 states, and what in it looks wrong.
    Check {
        /// default, strict, paper, or a policy file.
        #[arg(value_name = "POLICY", default_value = "default")]
        policy: String,
        /// The model whose tokens are counted; none is loaded unless one is named.
        #[command(flatten)]
        model: Box<ModelArgs>,
    },
}
