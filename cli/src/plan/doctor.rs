//! What `doctor` is to look at.

use super::Source;
use crate::args::DoctorArgs;
use crate::error::Result;
use std::path::PathBuf;

/// What is looked at.
#[derive(Debug, PartialEq)]
pub struct Doctor {
    /// The model; never fetched.
    pub source: Source,
    /// Where state is kept; `None` where it usually is.
    pub state: Option<PathBuf>,
    /// Where a server is to listen.
    pub port: u16,
}

pub(super) fn doctor(args: DoctorArgs) -> Result<Doctor> {
    let source = Source::of(args.model, args.source)?;
    Ok(Doctor { source, state: args.state_dir, port: args.port })
}
