//! What `traces` is to do.

use crate::args::{TracesArgs, TracesCommand};
use std::path::PathBuf;

/// Something about the traces of a server.
#[derive(Debug, PartialEq, Eq)]
pub struct Traces {
    /// Where state is kept; `None` where it usually is.
    pub folder: Option<PathBuf>,
    /// What is done.
    pub act: TraceAct,
}

/// What is done with traces.
#[derive(Debug, PartialEq, Eq)]
pub enum TraceAct {
    /// The newest are listed.
    List(u32),
    /// The receipt of a response is printed.
    Show(String),
    /// Those of an owner are deleted.
    DeleteOwner(String),
    /// Those beyond retention are deleted.
    DeleteOld,
}

pub(super) fn traces(args: TracesArgs) -> Traces {
    let (folder, act) = match args.command {
        TracesCommand::List { most, state_dir } => (state_dir, TraceAct::List(most)),
        TracesCommand::Show { response, state_dir } => (state_dir, TraceAct::Show(response)),
        TracesCommand::Delete { owner: Some(owner), state_dir, .. } => {
            (state_dir, TraceAct::DeleteOwner(owner))
        }
        TracesCommand::Delete { owner: None, state_dir, .. } => (state_dir, TraceAct::DeleteOld),
    };
    Traces { folder, act }
}
