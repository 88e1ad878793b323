//! Flags of `bench`.

use crate::flags::model::ModelArgs;
use crate::flags::vectors::VectorArgs;
use clap::{Args, ValueEnum};

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
    /// Run each test also so, between plain runs: steered (the vectors that are given, else one at every block), distinct (a plan of its
    /// own for each sequence), empty (a plan that changes nothing) or capture (of one site).
    #[arg(
        long,
        value_enum,
        value_name = "WHAT,…",
        value_delimiter = ',',
        hide_possible_values = true
    )]
    pub beside: Vec<Beside>,
    /// Leave the untimed first run out.
    #[arg(long)]
    pub no_warmup: bool,
    /// The form of the result [default: md].
    #[arg(short, long, value_enum, value_name = "md|json|jsonl|csv", hide_possible_values = true)]
    pub output: Option<Table>,
    /// The vectors.
    #[command(flatten)]
    pub vectors: VectorArgs,
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
}

/// What a test is run with, beside its plain runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Beside {
    /// One vector, added behind every block of every sequence.
    Steered,
    /// A plan of its own for each sequence: other vectors, other blocks, another scale.
    Distinct,
    /// A plan whose additions have the scale 0.
    Empty,
    /// A capture of one site for each sequence.
    Capture,
}

impl Beside {
    /// Its name on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Beside::Steered => "steered",
            Beside::Distinct => "distinct",
            Beside::Empty => "empty",
            Beside::Capture => "capture",
        }
    }
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
