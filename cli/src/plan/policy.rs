//! What `policy` is to do.

use super::Opening;
use super::files::if_named;
use crate::args::{PolicyArgs, PolicyCommand};
use crate::error::Result;

/// A policy to look at.
#[derive(Debug, PartialEq)]
pub struct PolicyCheck {
    /// The name of a built-in one, or a file.
    pub policy: String,
    /// The model that its guidance is for.
    pub opening: Option<Opening>,
}

pub(super) fn policy(args: PolicyArgs) -> Result<PolicyCheck> {
    let PolicyCommand::Check { policy, model } = args.command;
    Ok(PolicyCheck { policy, opening: if_named(*model)? })
}
