//! Flags of `generate`.

use crate::flags::answer::AnswerArgs;
use crate::flags::{Named, named};
use clap::Args;
use std::path::PathBuf;

/// Flags of `generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// The prompt [default: stdin, where it is no terminal].
    #[arg(short, long, value_name = "TEXT", conflicts_with = "file")]
    pub prompt: Option<String>,
    /// A file with the prompt.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Continue the text as it is, without the chat template.
    #[arg(long)]
    pub raw: bool,
    /// Read control tokens that are written in the prompt as control tokens; needs --raw.
    #[arg(long)]
    pub special: bool,
    /// Print text as it comes [default: on a terminal]; with --json one line per piece.
    #[arg(long, overrides_with = "no_stream")]
    pub stream: bool,
    /// Print the answer when it is complete.
    #[arg(long, overrides_with = "stream")]
    pub no_stream: bool,
    /// List the N likeliest tokens of each step; needs --json.
    #[arg(long, value_name = "N")]
    pub logprobs: Option<usize>,
    /// Answer twice: plain, then steered, with the same seed.
    #[arg(long)]
    pub compare: bool,
    /// Make the answers of a receipt again: a file with a full receipt, or with the response around it.
    #[arg(
        long,
        value_name = "FILE.json",
        conflicts_with_all = ["prompt", "file", "raw", "special", "compare", "logprobs", "steer", "seed", "temperature", "n_predict", "chat_template_kwargs", "thinking"]
    )]
    pub replay: Option<PathBuf>,
    /// A vector that the receipt names; may be given again.
    #[arg(long, value_name = "ID=FILE", requires = "replay", value_parser = named)]
    pub vector: Vec<Named>,
    #[command(flatten)]
    pub answer: AnswerArgs,
}
