//! Flags of `compose`.

use super::{ModelArgs, Policy, Switch, switch};
use clap::{ArgAction, Args, ValueEnum};
use std::path::PathBuf;

/// Flags of `compose`. A model is opened only when one is named, or pairs are to be measured.
#[derive(Debug, Args)]
pub struct ComposeArgs {
    /// Vector files by priority, each at its own default scale or at SCALE.
    #[arg(value_name = "FILE[:SCALE]", required = true)]
    pub files: Vec<String>,
    /// The file to write.
    #[arg(short, long, value_name = "OUT", required = true)]
    pub out: PathBuf,
    /// The name on its card [default: that of the file].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// How conflict is removed: not at all, along the directions above, in their subspaces, which are those directions
    /// as long as no file carries more, or under the stream's covariance.
    #[arg(
        long,
        value_enum,
        default_value = "subspace",
        value_name = "sum|gram_schmidt|subspace|sigma",
        hide_possible_values = true
    )]
    pub mode: ComposeMode,
    /// Directions that are protected per vector: its own, as files carry no differences [default: 1].
    #[arg(long, value_name = "N")]
    pub m: Option<usize>,
    /// Never change the N-th vector, counted from 1; may be given again.
    #[arg(long, value_name = "N")]
    pub protect: Vec<usize>,
    /// Stretch what is left of a vector to its old length.
    #[arg(long, action = ArgAction::SetTrue, value_parser = switch::parse)]
    pub renormalise: Switch,
    /// The most that all vectors may push at one site, as a share of the stream's length; one alone may push half of it.
    #[arg(long, value_name = "F", default_value_t = 1.0)]
    pub dose_limit: f64,
    /// What is done about a push above the limit: refuse it, lower all scales, or warn.
    #[arg(
        long,
        value_enum,
        default_value = "refuse",
        value_name = "refuse|clamp|warn",
        hide_possible_values = true
    )]
    pub dose_policy: Policy,
    /// Pairs {"prompt", "chosen", "rejected"} that a vector is to move, one file per vector in their order:
    /// measures what each does to the others.
    #[arg(long, value_name = "FILE.jsonl")]
    pub pairs: Vec<PathBuf>,
    /// Random directions that the measured matrix is held against [default: 20].
    #[arg(long, value_name = "N")]
    pub random: Option<usize>,
    /// Use vectors that were measured and have no effect.
    #[arg(long, action = ArgAction::SetTrue, value_parser = switch::parse)]
    pub allow_null: Switch,
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
}

/// How conflict is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum ComposeMode {
    /// Not at all.
    Sum,
    /// Along the directions above.
    GramSchmidt,
    /// In the subspaces of the differences above.
    Subspace,
    /// Under the stream's covariance.
    Sigma,
}
