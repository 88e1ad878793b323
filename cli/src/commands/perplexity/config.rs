//! What `perplexity` is to do.

use super::args::PerplexityArgs;
use crate::error::{Error, Result};
use crate::flags::model::{Opening, at_least_one};
use crate::flags::vectors::Vectors;
use std::path::PathBuf;
use trimtab_runtime::perplexity::Windows;

/// Tokens of a window where nothing else is asked for.
const WINDOW: usize = 512;
/// Windows that the pool holds, as many as the runtime runs together.
const TOGETHER: usize = 4;

#[derive(Debug)]
pub struct Perplexity {
    pub opening: Opening,
    pub file: PathBuf,
    /// How the text is cut.
    pub windows: Windows,
    pub vectors: Vectors,
    pub contrast: Contrast,
}

/// What steered predictions are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contrast {
    None,
    /// The plain ones, in the same pass.
    Plain,
}

pub fn perplexity(args: PerplexityArgs) -> Result<Perplexity> {
    let Some(file) = args.file else {
        return Err(Error::usage("--file", "is needed"));
    };
    let mut opening = Opening::of(args.model)?;
    let vectors = Vectors::of(args.vectors)?;
    let size = opening.options.decoder.context.unwrap_or(WINDOW);
    opening.options.decoder.context = Some(size.max(vectors.measured()));
    if opening.kv_bytes.is_none() {
        opening.options.pool_tokens = Some((TOGETHER * (size + 16)).max(vectors.measured()));
    }
    at_least_one("--chunks", args.chunks)?;
    let windows = Windows {
        size,
        stride: Some(args.ppl_stride).filter(|n| *n > 0),
        most: args.chunks,
        chunk: opening.chunk,
        // How much of a window is its prompt depends on the vectors.
        prompt: 1,
    };
    if args.kl_divergence && vectors.is_empty() {
        return Err(Error::usage("--kl-divergence", "needs a vector: --steer FILE"));
    }
    let contrast = if args.kl_divergence { Contrast::Plain } else { Contrast::None };
    Ok(Perplexity { opening, file, windows, vectors, contrast })
}
