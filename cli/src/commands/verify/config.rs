//! What `verify` is to do.

use super::args::VerifyArgs;
use crate::error::Result;
use crate::flags::model::Opening;
use crate::flags::vectors::Vectors;
use std::path::PathBuf;
use trimtab_steering::compose::dose::{DoseLimit, DosePolicy};
use trimtab_steering::steer::NullVectors;
use trimtab_steering::verify::Depth;

#[derive(Debug)]
pub struct Verify {
    pub opening: Opening,
    /// The vector; empty for a throw-away one.
    pub vectors: Vectors,
    pub depth: Depth,
    /// Where the report goes as well.
    pub report: Option<PathBuf>,
}

impl Verify {
    pub fn of(args: VerifyArgs) -> Result<Verify> {
        let vectors = Vectors {
            files: args.file.into_iter().collect(),
            layer_shift: args.layer_shift,
            accept: args.accept_model,
            null: if args.allow_null { NullVectors::Allow } else { NullVectors::Refuse },
            // What a vector does is to be seen, also if it is too much.
            dose: DoseLimit { policy: DosePolicy::Warn, ..DoseLimit::default() },
            ..Vectors::default()
        };
        let depth = if args.quick { Depth::Quick } else { Depth::Whole };
        Ok(Verify { opening: Opening::of(args.model)?, vectors, depth, report: args.report })
    }
}
