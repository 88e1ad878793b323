//! Flags of `import` and `export`.

use crate::flags::model::ModelArgs;
use crate::flags::{Parsed, words};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use trimtab_steering::import::Effect;

/// Flags of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file: GGUF, .svec, bare safetensors, or raw f32 values.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The vector file to write; without it, what was understood is only shown.
    #[arg(short, long, value_name = "OUT")]
    pub out: Option<PathBuf>,
    /// Added to every layer number of a file whose numbers have two readings.
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub layer_shift: Option<i64>,
    /// What is done with the directions, where the file does not say it.
    #[arg(long, value_name = "add|project", value_parser = words([("add", Effect::Add), ("project", Effect::Project)]), hide_possible_values = true,)]
    pub op: Option<Effect>,
    /// Where they act, where the file does not say it: resid_post.{n}, or NAMES=SITE with {n} for the block in
    /// both, or NAME[n]=resid_post.{n} (or {n-1}) for the rows of one tensor, or mlp_out or attn_out for raw values.
    #[arg(long, value_name = "SITE")]
    pub site: Option<String>,
    /// Rows and width of a file of raw f32 values.
    #[arg(long, value_name = "LxD", value_parser = shape)]
    pub shape: Option<[usize; 2]>,
    /// Leave rows of zeros out, which point nowhere, instead of refusing the file.
    #[arg(long)]
    pub skip_zeros: bool,
    /// The vector's name [default: that of the file].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The model; named, the vector is pinned to it and the stream is measured.
    #[command(flatten)]
    pub model: ModelArgs,
}

/// Flags of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The vector file.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The format.
    #[arg(long, value_enum, value_name = "gguf", hide_possible_values = true)]
    pub to: To,
    /// The file to write.
    #[arg(short, long, value_name = "OUT")]
    pub out: PathBuf,
    /// Write a projection, for programs that read glp.mode; llama.cpp would add it.
    #[arg(long)]
    pub glp: bool,
    /// Leave block 0 out, which llama.cpp rejects.
    #[arg(long, conflicts_with = "keep_block_0")]
    pub drop_block_0: bool,
    /// Write block 0 as direction.0, which EasySteer and repeng accept and llama.cpp rejects.
    #[arg(long)]
    pub keep_block_0: bool,
}

/// The format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum To {
    /// A GGUF control vector.
    Gguf,
}

/// `LxD`: rows and width.
fn shape(text: &str) -> Parsed<[usize; 2]> {
    let numbers = text.split_once('x').and_then(|(rows, width)| {
        Some([rows.parse::<usize>().ok()?, width.parse::<usize>().ok()?])
    });
    let numbers = numbers.filter(|[rows, width]| *rows > 0 && *width > 0);
    numbers.ok_or_else(|| format!("is {text:?}, expected rows x width such as 30x576"))
}
