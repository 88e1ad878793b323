//! Flags of `eval`.

use crate::flags::model::ModelArgs;
use crate::flags::sampling::SamplingArgs;
use crate::flags::vectors::{Asked, native};
use clap::Args;
use std::path::PathBuf;
use trimtab_steering::eval::Rule;

/// Flags of `eval`. Answers are greedy and 48 tokens long unless the sampling flags say otherwise.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// The vector.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// One JSON object per line: {prompt}, {prompt, chosen, rejected}, {prompt, choices, answer} or
    /// {prompt, answer}.
    #[arg(long, value_name = "FILE.jsonl")]
    pub data: Option<PathBuf>,
    /// What judges answers: exclaims, refusal, words:2-20, list, capitals, json, regex:PATTERN,
    /// lexicon:WORD,WORD:SHARE or language:en.
    #[arg(long, value_name = "RULE", value_parser = Rule::parse)]
    pub rule: Option<Rule>,
    /// The same goal in plain words, put behind each prompt as the first arm.
    #[arg(long, value_name = "TEXT")]
    pub instruction: Option<String>,
    /// Scales to measure; without a negative one, the first is also measured turned round
    /// [default: the file's].
    #[arg(
        long,
        value_name = "F,…",
        value_delimiter = ',',
        allow_hyphen_values = true,
        conflicts_with = "doses"
    )]
    pub scales: Vec<f32>,
    /// The same as shares of the stream's length.
    #[arg(long, value_name = "F,…", value_delimiter = ',', allow_hyphen_values = true)]
    pub doses: Vec<f64>,
    /// Choose the scale on these items, without controls; --write puts it into the file.
    #[arg(long)]
    pub calibrate: bool,
    /// Random directions of equal length beside the vector.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub random: u64,
    /// A fit to shuffled labels that `merge --shuffle` wrote, pushed as far as the vector; may be given again. Of fewer
    /// than 20 the largest effect counts, else the 95th percentile.
    #[arg(long, value_name = "FILE")]
    pub shuffled: Vec<PathBuf>,
    /// Random directions and shuffled labels see only the first N items, which is quicker.
    #[arg(long, value_name = "N")]
    pub random_items: Option<usize>,
    /// Another vector to measure beside it; may be given again.
    #[arg(long, value_name = "FILE[:SCALE]", value_parser = native)]
    pub beside: Vec<Asked>,
    /// Text on which perplexity is held against that of the plain model [default: bundled prose].
    #[arg(long, value_name = "FILE")]
    pub neutral: Option<PathBuf>,
    /// Only the first N items.
    #[arg(long, value_name = "N")]
    pub items: Option<usize>,
    /// Put what was measured into the file.
    #[arg(long)]
    pub write: bool,
    /// End with 4 unless the vector does more than its controls and text stays fluent.
    #[arg(long)]
    pub check: bool,
    /// Write every answer, one JSON object per line.
    #[arg(long, value_name = "FILE.jsonl")]
    pub answers: Option<PathBuf>,
    /// Draw scores over doses.
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    /// Use a vector that was made on another model: the first 12 digits of its weights_sha256, or unpinned.
    #[arg(long, value_name = "HEX|unpinned")]
    pub accept_model: Option<String>,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub model: ModelArgs,
}
