//! What `perplexity` is to do.

use super::args::PerplexityArgs;
use crate::error::{Error, Result};
use crate::flags::model::{Opening, PoolSize};
use crate::flags::vectors::{NORM_WINDOW, Vectors};
use std::path::PathBuf;
use trimtab_runtime::perplexity::Windows;

/// Tokens of a window where nothing else is asked for.
const WINDOW: usize = 512;
/// Windows that the pool holds, as many as the runtime runs together.
const TOGETHER: usize = 4;

/// A measurement.
#[derive(Debug, PartialEq)]
pub struct Perplexity {
    /// The model.
    pub opening: Opening,
    /// The text.
    pub file: PathBuf,
    /// How it is cut.
    pub windows: Windows,
    /// What steers.
    pub vectors: Vectors,
    /// Whether the plain predictions are computed too.
    pub contrast: Contrast,
}

/// What steered predictions are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contrast {
    /// Nothing.
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
    let size = opening.decoder.context.unwrap_or(WINDOW);
    // The stream may have to be measured before.
    let measured = if vectors.is_empty() { 0 } else { NORM_WINDOW };
    opening.decoder.context = Some(size.max(measured));
    if opening.pool == PoolSize::Usual {
        opening.pool = PoolSize::Tokens((TOGETHER * (size + 16)).max(measured));
    }
    if args.chunks == Some(0) {
        return Err(Error::usage("--chunks", "is 0, at least 1 is needed"));
    }
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
