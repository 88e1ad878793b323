//! What `capture` is to do.

use super::args::CaptureArgs;
use crate::error::{Error, Result};
use crate::flags::model::Opening;
use crate::flags::sites;
use std::path::PathBuf;
use trimtab_runtime::capture::Scores;
use trimtab_runtime::decoder::WeightForm;
use trimtab_runtime::site::Site;
use trimtab_runtime::text::Special;

#[derive(Debug)]
pub struct Capture {
    pub opening: Opening,
    pub rows: Rows,
    /// Where activations are read.
    pub sites: Vec<Site>,
    /// Whether logits are written.
    pub scores: Scores,
    /// The file that is written.
    pub out: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Rows {
    /// Texts and conversations of a JSON Lines file.
    File {
        path: PathBuf,
        /// What control tokens in a text are.
        special: Special,
    },
    /// One row of token ids.
    Ids(Vec<u32>),
}

pub fn capture(args: CaptureArgs) -> Result<Capture> {
    let rows = match args.data {
        Some(path) => {
            Rows::File { path, special: if args.special { Special::Parse } else { Special::Plain } }
        }
        None if args.token_ids.is_empty() => {
            return Err(Error::usage("--data", "or --token-ids is needed"));
        }
        None => Rows::Ids(args.token_ids),
    };
    let (sites, scores) =
        (sites::parse(&args.sites)?, if args.logits { Scores::Write } else { Scores::Leave });
    if sites.is_empty() && scores == Scores::Leave {
        return Err(Error::usage("--sites", "or --logits is needed"));
    }
    let Some(out) = args.out else {
        return Err(Error::usage("--out", "is needed"));
    };
    let mut opening = Opening::with_variables(args.model, args.template)?;
    if args.dequantize {
        opening.options.decoder.form = WeightForm::Dequantised;
    }
    Ok(Capture { opening, rows, sites, scores, out })
}
