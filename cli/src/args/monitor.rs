//! Flags of commands whose answers can be watched.

use super::{Switch, switch};
use clap::{ArgAction, Args};
use std::path::PathBuf;

/// Who watches an answer.
#[derive(Debug, Args)]
pub struct MonitorArgs {
    /// Watch answers and take back what goes wrong: a file with the API's `monitor` object.
    #[arg(long, value_name = "FILE.json", help_heading = "Monitors")]
    pub monitor: Option<PathBuf>,
    /// A vector that the monitor names; may be given again.
    #[arg(long, value_name = "ID=FILE", requires = "monitor", help_heading = "Monitors")]
    pub monitor_vector: Vec<String>,
    /// A policy that the monitor names, besides default, strict and paper; may be given again.
    #[arg(long, value_name = "FILE.toml", requires = "monitor", help_heading = "Monitors")]
    pub policy: Vec<String>,
    /// Tell what the monitor found and did.
    #[arg(
        long,
        requires = "monitor",
        help_heading = "Monitors",
        action = ArgAction::SetTrue,
        value_parser = switch::parse
    )]
    pub show_monitor: Switch,
}
