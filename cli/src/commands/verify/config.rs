//! What `verify` is to do.

use super::args::VerifyArgs;
use crate::error::Result;
use crate::flags::model::Opening;
use crate::flags::vectors::{Vectors, one_file};
use std::path::PathBuf;
use trimtab_steering::compose::dose::{DoseLimit, DosePolicy};
use trimtab_steering::steer::NullVectors;
use trimtab_steering::verify::Depth;

/// A proof.
#[derive(Debug, PartialEq)]
pub struct Verify {
    /// The model.
    pub opening: Opening,
    /// The vector; empty for a throw-away one.
    pub vectors: Vectors,
    /// How much is proved.
    pub depth: Depth,
    /// Where the report goes as well.
    pub report: Option<PathBuf>,
}

pub fn verify(args: VerifyArgs) -> Result<Verify> {
    let files = args.file.as_deref().map(one_file).transpose()?;
    let vectors = Vectors {
        files: files.into_iter().collect(),
        layer_shift: args.layer_shift,
        accept: args.accept_model,
        null: if args.allow_null { NullVectors::Allow } else { NullVectors::Refuse },
        // What a vector does is to be seen, also if it is too much.
        dose: DoseLimit { policy: DosePolicy::Warn, ..DoseLimit::default() },
        ..Vectors::default()
    };
    Ok(Verify {
        opening: Opening::of(args.model)?,
        vectors,
        depth: if args.quick { Depth::Quick } else { Depth::Whole },
        report: args.report,
    })
}
