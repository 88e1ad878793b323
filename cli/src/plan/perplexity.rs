//! What `perplexity` is to do.

use super::{Opening, PoolSize, choose};
use crate::args::PerplexityArgs;
use crate::error::{Error, Result};
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
    /// What the predictions are held against.
    pub against: Against,
}

/// What predictions are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// Nothing.
    Nothing,
    /// The same model without vectors.
    Plain,
}

pub(super) fn perplexity(args: PerplexityArgs) -> Result<Perplexity> {
    let against = choose(args.kl_divergence, Against::Plain, Against::Nothing);
    if against == Against::Plain && !names_vectors(&args) {
        return Err(Error::usage("--kl-divergence", "needs vectors to compare with"));
    }
    let Some(file) = args.file else {
        return Err(Error::usage("--file", "is needed"));
    };
    let mut opening = Opening::of(args.model)?;
    let size = opening.decoder.context.unwrap_or(WINDOW);
    opening.decoder.context = Some(size);
    if opening.pool == PoolSize::Usual {
        opening.pool = PoolSize::Tokens(TOGETHER * (size + 16));
    }
    if args.chunks == Some(0) {
        return Err(Error::usage("--chunks", "is 0, at least 1 is needed"));
    }
    let windows = Windows {
        size,
        stride: Some(args.ppl_stride).filter(|n| *n > 0),
        most: args.chunks,
        chunk: opening.chunk,
    };
    Ok(Perplexity { opening, file, windows, against })
}

/// Whether there is anything to compare: this command's flags name no vectors.
fn names_vectors(_: &PerplexityArgs) -> bool {
    false
}
