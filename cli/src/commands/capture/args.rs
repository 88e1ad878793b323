//! Flags of `capture`.

use crate::flags::model::{ModelArgs, TemplateArgs};
use clap::{ArgGroup, Args};
use std::path::PathBuf;

/// Flags of `capture`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("rows").args(["data", "token_ids"])))]
pub struct CaptureArgs {
    /// One JSON object per line: {"text": …} or {"messages": […]}.
    #[arg(long, value_name = "FILE.jsonl")]
    pub data: Option<PathBuf>,
    /// The token ids of one row; needs no tokenizer.
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    pub token_ids: Vec<u32>,
    /// Read control tokens that are written in a text as control tokens.
    #[arg(long)]
    pub special: bool,
    /// Sites to read, such as embed, resid_post.3, resid_post.1-22 or final.
    #[arg(long, value_name = "SITE,…", value_delimiter = ',')]
    pub sites: Vec<String>,
    /// Write the logits of every position.
    #[arg(long)]
    pub logits: bool,
    /// Load quantised weights as f32, the reference path.
    #[arg(long)]
    pub dequantize: bool,
    /// The file to write: tensors <row>.<site>, <row>.logits and <row>.tokens.
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// What the chat template is given.
    #[command(flatten)]
    pub template: TemplateArgs,
}
