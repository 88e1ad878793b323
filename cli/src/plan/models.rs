//! What `models` is to do.

use super::Source;
use crate::args::{ModelsArgs, ModelsCommand, Target};
use crate::error::Result;
use trimtab_runtime::hub::Reach;

/// Something to do with models.
#[derive(Debug, PartialEq, Eq)]
pub enum Models {
    /// Show those that have a name.
    List,
    /// Fetch one.
    Pull(Source),
    /// Describe one.
    Describe(Source),
    /// Say where one is.
    Path(Source),
}

pub(super) fn models(args: ModelsArgs) -> Result<Models> {
    let source = |target: Target| Source::of(target.what.or(target.model), target.source);
    match args.command {
        ModelsCommand::List => Ok(Models::List),
        ModelsCommand::Pull(target) => source(target).map(Models::Pull),
        ModelsCommand::Info(target) => source(target).map(Models::Describe),
        ModelsCommand::Path(target) => {
            let source = source(target)?;
            Ok(Models::Path(Source { reach: Some(Reach::Offline), ..source }))
        }
    }
}
