//! Who is to watch answers.

use super::serve::named;
use super::{Named, choose};
use crate::args::MonitorArgs;
use crate::error::Result;
use std::path::PathBuf;

/// A monitor, if there is one.
#[derive(Debug, Default, PartialEq)]
pub struct Monitors {
    /// The API's object.
    pub file: Option<PathBuf>,
    /// The vectors that it names.
    pub vectors: Vec<Named>,
    /// The policies that it names.
    pub policies: Vec<String>,
    /// How much is told of what it does.
    pub telling: Telling,
}

/// How much is told of what a monitor does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Telling {
    /// That it took something back, or ended an answer.
    #[default]
    Outcome,
    /// Every step.
    Steps,
}

impl Monitors {
    pub(super) fn of(args: MonitorArgs) -> Result<Monitors> {
        Ok(Monitors {
            file: args.monitor,
            vectors: args.monitor_vector.iter().map(|text| named(text)).collect::<Result<_>>()?,
            policies: args.policy,
            telling: choose(args.show_monitor, Telling::Steps, Telling::Outcome),
        })
    }
}
