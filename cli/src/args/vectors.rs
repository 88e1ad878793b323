//! Flags of every command that steers.

use super::{Switch, switch};
use clap::{ArgAction, Args, ValueEnum};

/// Which vectors act, how strongly and where. Order of application: `--steer`, `--control-vector`,
/// `--control-vector-scaled`, each in the order given.
#[derive(Debug, Args)]
pub struct VectorArgs {
    /// Steer with a vector file, at its own default scale or at SCALE; may be given again.
    #[arg(long, value_name = "FILE[:SCALE]", help_heading = "Vectors")]
    pub steer: Vec<String>,
    /// The same for files of several formats (GGUF, .svec), at their default scale.
    #[arg(long, value_name = "FNAME,…", value_delimiter = ',', help_heading = "Vectors")]
    pub control_vector: Vec<String>,
    /// The same with a scale each; the last colon separates.
    #[arg(
        long,
        value_name = "FNAME:SCALE,…",
        value_delimiter = ',',
        // llama.cpp's older form has the scale as a second word; it is read to say how it is written today.
        num_args = 1..=2,
        allow_negative_numbers = true,
        help_heading = "Vectors"
    )]
    pub control_vector_scaled: Vec<String>,
    /// Only the blocks from START to END, both included.
    #[arg(
        long,
        num_args = 2,
        value_delimiter = ',',
        value_names = ["START", "END"],
        help_heading = "Vectors"
    )]
    pub control_vector_layer_range: Vec<usize>,
    /// Added to every layer number of a file whose numbers have two readings.
    #[arg(long, value_name = "K", allow_negative_numbers = true, help_heading = "Vectors")]
    pub layer_shift: Option<i64>,
    /// Use a vector of another model all the same: the beginning of its weights hash, or unpinned.
    #[arg(long, value_name = "HEX|unpinned", value_delimiter = ',', help_heading = "Vectors")]
    pub accept_model: Vec<String>,
    /// Use a vector that was measured and has no effect.
    #[arg(long, help_heading = "Vectors", action = ArgAction::SetTrue, value_parser = switch::parse)]
    pub allow_null: Switch,
    /// The most that all vectors may push at one site, as a share of the stream's length; one alone may push
    /// half of it [default: 1].
    #[arg(long, value_name = "F", allow_negative_numbers = true, help_heading = "Vectors")]
    pub dose_limit: Option<f64>,
    /// What is done about a push above the limit: refuse it, lower all scales, or warn [default: refuse].
    #[arg(
        long,
        value_enum,
        value_name = "refuse|clamp|warn",
        hide_possible_values = true,
        help_heading = "Vectors"
    )]
    pub dose_policy: Option<Policy>,
    /// The tokens that are steered: all, prompt, generated, last for the prompt's last one, or answering for that one and
    /// all generated ones [default: what the file says].
    #[arg(
        long,
        value_enum,
        value_name = "all|prompt|generated|last|answering",
        hide_possible_values = true,
        help_heading = "Vectors"
    )]
    pub scope: Option<Reach>,
}

/// What is done about a push above the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// Nothing runs.
    Refuse,
    /// All scales are lowered.
    Clamp,
    /// It is told.
    Warn,
}

/// The tokens that are steered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reach {
    /// Every one.
    All,
    /// Those of the prompt.
    Prompt,
    /// Those that were generated.
    Generated,
    /// The prompt's last.
    Last,
    /// The prompt's last, and those that were generated.
    Answering,
}
