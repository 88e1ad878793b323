//! Where an answer can go back to.

use crate::error::{Error, Result};
use crate::monitor::Sensed;
use crate::plan::Plan;
use crate::session::{Checkpoint, History, Session};
use std::sync::{Arc, Mutex, PoisonError};

/// The session behind the pass that led to a token, and what that pass gave: the head alone gives its logits again.
pub(super) struct RewindPoint {
    checkpoint: Checkpoint,
    /// How many of the answer's tokens the session had.
    pub(super) fed: usize,
    /// Kept for the newest places only: attention is as long as the sequence.
    passed: Mutex<Option<Passed>>,
}

/// What a pass gave.
#[derive(Clone)]
pub(super) struct Passed {
    /// The activation that the head turned into logits, `[d_model]`.
    pub(super) last: Arc<[f32]>,
    pub(super) sensed: Arc<Sensed>,
}

/// What the next pass runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// Nothing but the last token.
    Repeated,
    Followed,
}

/// Whether a session goes on as it was at an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Return {
    /// Same tokens, same plan: what its pass gave still holds.
    Same,
    /// Something has to be run again.
    Changed,
}

impl RewindPoint {
    pub(super) fn of(session: &Session, fed: usize, passed: Option<Passed>) -> Arc<RewindPoint> {
        let passed = Mutex::new(passed);
        Arc::new(RewindPoint { checkpoint: session.checkpoint(), fed, passed })
    }

    /// What its pass gave, if that is still known.
    pub(super) fn passed(&self) -> Option<Passed> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets what its pass gave.
    pub(super) fn forget(&self) {
        *self.passed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The session as it was, under the given plan or the one in force. Under another plan its last token says something
    /// else, so it is run again where nothing else is.
    pub(super) fn restore(
        &self,
        session: &mut Session,
        plan: Option<(Plan, History)>,
        last: Last,
    ) -> Result<Return> {
        let in_force = session.plan().clone();
        match session.rollback(&self.checkpoint) {
            // Keys and values were made again since: the tokens still are what they were.
            Err(Error::StaleCheckpoint { len }) if len <= session.len() => session.restart(len)?,
            other => other?,
        }
        let (plan, history) = match plan {
            Some(given) => given,
            None if session.plan().fingerprint() != in_force.fingerprint() => {
                (in_force, History::Keep)
            }
            None => return Ok(Return::Same),
        };
        if last == Last::Repeated && session.pending() == 0 {
            session.repeat_last()?;
        }
        session.replan(plan, history)?;
        Ok(Return::Changed)
    }
}
