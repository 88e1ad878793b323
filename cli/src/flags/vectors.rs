//! Flags of every command that steers.

use super::words;
use clap::Args;
use trimtab_steering::compose::dose::DosePolicy;
use trimtab_steering::scope::Scope;

/// What is done about a push above the limit.
pub const POLICIES: [(&str, DosePolicy); 3] =
    [("refuse", DosePolicy::Refuse), ("clamp", DosePolicy::Clamp), ("warn", DosePolicy::Warn)];

/// The tokens that can be steered.
fn scopes() -> [(&'static str, Scope); 5] {
    [
        ("all", Scope::all()),
        ("prompt", Scope::prompt()),
        ("generated", Scope::generated()),
        ("last", Scope::last()),
        ("answering", Scope::answering()),
    ]
}

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
    #[arg(long, help_heading = "Vectors")]
    pub allow_null: bool,
    /// The most that all vectors may push at one site, as a share of the stream's length; one alone may push
    /// half of it [default: 1].
    #[arg(long, value_name = "F", allow_negative_numbers = true, help_heading = "Vectors")]
    pub dose_limit: Option<f64>,
    /// What is done about a push above the limit: refuse it, lower all scales, or warn [default: refuse].
    #[arg(
        long,
        value_name = "refuse|clamp|warn", value_parser = words(POLICIES), hide_possible_values = true,
        help_heading = "Vectors"
    )]
    pub dose_policy: Option<DosePolicy>,
    /// The tokens that are steered: all, prompt, generated, last for the prompt's last one, or answering for that one and
    /// all generated ones [default: what the file says].
    #[arg(
        long,
        value_name = "all|prompt|generated|last|answering", value_parser = words(scopes()), hide_possible_values = true,
        help_heading = "Vectors"
    )]
    pub scope: Option<Scope>,
}
