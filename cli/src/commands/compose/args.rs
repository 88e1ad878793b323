//! Flags of `compose`.

use crate::flags::model::ModelArgs;
use crate::flags::vectors::{Asked, POLICIES, asked};
use crate::flags::words;
use clap::Args;
use std::path::PathBuf;
use trimtab_steering::compose::Mode;
use trimtab_steering::compose::dose::DosePolicy;

/// Flags of `compose`. A model is opened only when one is named, or pairs are to be measured.
#[derive(Debug, Args)]
pub struct ComposeArgs {
    /// Vector files by priority, each at its own default scale or at SCALE.
    #[arg(value_name = "FILE[:SCALE]", required = true, value_parser = asked)]
    pub files: Vec<Asked>,
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
        default_value = "subspace",
        value_name = "sum|gram_schmidt|subspace|sigma",
        value_parser = words([Mode::Sum, Mode::GramSchmidt, Mode::Subspace, Mode::Sigma].map(|mode| (mode.name(), mode))), hide_possible_values = true,
    )]
    pub mode: Mode,
    /// Directions that are protected per vector: its own, as files carry no differences [default: 1].
    #[arg(long, value_name = "N")]
    pub m: Option<usize>,
    /// Never change the N-th vector, counted from 1; may be given again.
    #[arg(long, value_name = "N")]
    pub protect: Vec<usize>,
    /// Stretch what is left of a vector to its old length.
    #[arg(long)]
    pub renormalise: bool,
    /// The most that all vectors may push at one site, as a share of the stream's length; one alone may push half of it.
    #[arg(long, value_name = "F", default_value_t = 1.0)]
    pub dose_limit: f64,
    /// What is done about a push above the limit: refuse it, lower all scales, or warn.
    #[arg(
        long,
        default_value = "refuse",
        value_name = "refuse|clamp|warn",
        value_parser = words(POLICIES), hide_possible_values = true,
    )]
    pub dose_policy: DosePolicy,
    /// Pairs {"prompt", "chosen", "rejected"} that a vector is to move, one file per vector in their order:
    /// measures what each does to the others.
    #[arg(long, value_name = "FILE.jsonl")]
    pub pairs: Vec<PathBuf>,
    /// Random directions that the measured matrix is held against [default: 20].
    #[arg(long, value_name = "N")]
    pub random: Option<usize>,
    /// Use vectors that were measured and have no effect.
    #[arg(long)]
    pub allow_null: bool,
    #[command(flatten)]
    pub model: ModelArgs,
}
