//! Flags of `bench`.

use super::{ModelArgs, Switch, switch};
use clap::{ArgAction, Args, ValueEnum};

/// Flags of `bench`. Lists are measured in all combinations.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Prompt lengths; 0 leaves the test out.
    #[arg(short = 'p', long, value_name = "N,…", value_delimiter = ',', default_value = "512")]
    pub n_prompt: Vec<usize>,
    /// Tokens to generate; 0 leaves the test out.
    #[arg(short = 'n', long, value_name = "N,…", value_delimiter = ',', default_value = "128")]
    pub n_gen: Vec<usize>,
    /// Tokens that are in the context before.
    #[arg(short = 'd', long, value_name = "N,…", value_delimiter = ',', default_value = "0")]
    pub n_depth: Vec<usize>,
    /// How often each test is repeated.
    #[arg(short, long, value_name = "N", default_value_t = 5)]
    pub repetitions: usize,
    /// Sequences that are run together.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1")]
    pub batch: Vec<usize>,
    /// Leave the untimed first run out.
    #[arg(long, action = ArgAction::SetTrue, value_parser = switch::parse)]
    pub no_warmup: Switch,
    /// The form of the result [default: md].
    #[arg(short, long, value_enum, value_name = "md|json|jsonl|csv", hide_possible_values = true)]
    pub output: Option<Table>,
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
}

/// The form of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Table {
    /// A Markdown table.
    Md,
    /// One JSON document.
    Json,
    /// One JSON object per line.
    Jsonl,
    /// Comma-separated values.
    Csv,
}
