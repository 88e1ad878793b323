//! Flags of `adapters`.

use crate::flags::model::ModelArgs;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Flags of `adapters`.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub struct AdaptersArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: AdaptersCommand,
}

/// Whose adapters, and where they are kept.
#[derive(Debug, Args)]
pub struct ShelfArgs {
    /// The label of the owner's key; adapters of `chat` are those of local.
    #[arg(long, value_name = "LABEL", default_value = "local")]
    pub owner: String,
    /// The folder of the state [default: $XDG_STATE_HOME/trimtab].
    #[arg(long, visible_alias = "state", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// The subcommands of `adapters`.
#[derive(Debug, Subcommand)]
pub enum AdaptersCommand {
    /// List an owner's adapters.
    List {
        #[command(flatten)]
        shelf: ShelfArgs,
    },
    /// Show an adapter and its versions, each with what taught it.
    Show {
        /// The adapter.
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        shelf: ShelfArgs,
    },
    /// Show what changed between two versions; with -m also the tokens that it makes likelier and less likely.
    Diff(Box<DiffArgs>),
    /// Publish a version that equals an older one; 0 is the untaught adapter.
    Revert {
        /// The adapter.
        #[arg(value_name = "ID")]
        id: String,
        /// The older version.
        #[arg(value_name = "VERSION")]
        to: u32,
        #[command(flatten)]
        shelf: ShelfArgs,
    },
    /// Write a version to a file.
    Export {
        /// The adapter.
        #[arg(value_name = "ID")]
        id: String,
        /// Its version [default: the newest].
        #[arg(value_name = "VERSION")]
        number: Option<u32>,
        /// The file.
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        shelf: ShelfArgs,
    },
    /// Publish a version that equals a file's, in an adapter that is made if it is not there.
    Import {
        /// The adapter.
        #[arg(value_name = "ID")]
        id: String,
        /// A file that export wrote.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        shelf: ShelfArgs,
    },
    /// Delete an adapter with its versions, lessons and answers, and leave nothing of it in the folder.
    Delete {
        /// The adapter.
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        shelf: ShelfArgs,
    },
    /// Prove on a loaded model that an adapter learns, harms little, and can be undone and deleted.
    Prove(Box<ProveArgs>),
}

/// Flags of `adapters diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The adapter.
    #[arg(value_name = "ID")]
    pub id: String,
    /// A version.
    #[arg(value_name = "A")]
    pub from: u32,
    /// Another version.
    #[arg(value_name = "B")]
    pub to: u32,
    /// How many tokens are shown of each kind.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub tokens: usize,
    #[command(flatten)]
    pub shelf: ShelfArgs,
    #[command(flatten)]
    pub model: ModelArgs,
}

/// Flags of `adapters prove`.
#[derive(Debug, Args)]
pub struct ProveArgs {
    /// The adapter, of which a copy is worked on [default: a fresh one].
    #[arg(long, value_name = "ID")]
    pub adapter: Option<String>,
    /// How a fresh one learns.
    #[arg(
        long,
        value_name = "KEY=VALUE",
        conflicts_with = "adapter",
        value_parser = crate::flags::adapt::param
    )]
    pub adapt_param: Vec<(String, serde_json::Value)>,
    /// The most tokens of an answer.
    #[arg(short, long, value_name = "N", default_value_t = 24)]
    pub n_predict: usize,
    #[command(flatten)]
    pub shelf: ShelfArgs,
    #[command(flatten)]
    pub model: ModelArgs,
}
