//! Who is to watch answers: the flags, and what they come to.

use super::{Named, named};
use crate::error::Result;
use clap::Args;
use std::path::PathBuf;

/// Who watches an answer.
#[derive(Debug, Args)]
pub struct MonitorArgs {
    /// Watch answers and take back what goes wrong: a file with the API's `monitor` object.
    #[arg(long, value_name = "FILE.json", help_heading = "Monitors")]
    pub monitor: Option<PathBuf>,
    /// A vector that the monitor names; may be given again.
    #[arg(long, value_name = "ID=FILE", requires = "monitor", value_parser = named, help_heading = "Monitors")]
    pub monitor_vector: Vec<Named>,
    /// A policy that the monitor names, besides default, strict and paper; may be given again.
    #[arg(long, value_name = "FILE.toml", requires = "monitor", help_heading = "Monitors")]
    pub policy: Vec<String>,
    /// Tell what the monitor found and did.
    #[arg(long, requires = "monitor", help_heading = "Monitors")]
    pub show_monitor: bool,
}

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
    pub fn of(args: MonitorArgs) -> Result<Monitors> {
        Ok(Monitors {
            file: args.monitor,
            vectors: args.monitor_vector,
            policies: args.policy,
            telling: if args.show_monitor { Telling::Steps } else { Telling::Outcome },
        })
    }
}
