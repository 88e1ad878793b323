//! What `generate --replay` is to do.

use super::serve::named;
use super::{Named, Opening};
use crate::args::GenerateArgs;
use crate::error::{Error, Result};
use std::path::PathBuf;

/// Answers that are made again.
#[derive(Debug, PartialEq)]
pub struct Replay {
    /// The model.
    pub opening: Opening,
    /// The receipt, or the response around it.
    pub receipt: PathBuf,
    /// The vectors that the receipt names.
    pub vectors: Vec<Named>,
}

/// The replay, if one is asked for.
pub(super) fn replay(args: GenerateArgs) -> Result<Replay> {
    let Some(receipt) = args.replay else {
        return Err(Error::usage("--replay", "is missing"));
    };
    let vectors = args.vector.iter().map(|text| named(text)).collect::<Result<_>>()?;
    Ok(Replay { opening: Opening::of(args.model)?, receipt, vectors })
}
