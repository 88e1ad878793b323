//! Where an answer can go back to.

use crate::error::{Error, Result};
use crate::monitor::Sensed;
use crate::plan::Plan;
use crate::session::{Checkpoint, History, Session};
use std::sync::Arc;

/// The session behind the pass that led to a token, and what that pass gave: the head alone gives its logits again.
pub(super) struct Origin {
    checkpoint: Checkpoint,
    /// How many of the answer's tokens the session had.
    pub(super) fed: usize,
    pub(super) passed: Option<Passed>,
}

/// What a pass gave.
#[derive(Clone)]
pub(super) struct Passed {
    /// The activation that the head turned into logits, `[d_model]`.
    pub(super) last: Arc<[f32]>,
    pub(super) sensed: Arc<Sensed>,
}

/// Whether a session goes on as it was at an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Return {
    /// Same tokens, same plan: what its pass gave still holds.
    Same,
    /// Something has to be run again.
    Changed,
}

impl Origin {
    pub(super) fn of(session: &Session, fed: usize, passed: Option<Passed>) -> Arc<Origin> {
        Arc::new(Origin { checkpoint: session.checkpoint(), fed, passed })
    }

    /// The session as it was, under the given plan or the one in force.
    pub(super) fn restore(
        &self,
        session: &mut Session,
        plan: Option<(Plan, History)>,
    ) -> Result<Return> {
        let in_force = session.plan().clone();
        match session.rollback(&self.checkpoint) {
            // Keys and values were made again since: the tokens still are what they were.
            Err(Error::StaleCheckpoint { len }) if len <= session.len() => session.restart(len)?,
            other => other?,
        }
        match plan {
            Some((plan, history)) => session.replan(plan, history)?,
            None if session.plan().fingerprint() != in_force.fingerprint() => {
                session.replan(in_force, History::Keep)?;
            }
            None => return Ok(Return::Same),
        }
        Ok(Return::Changed)
    }
}
