//! What a conversation has been taught so far: each answer is judged once, updates are counted, refusals in a row stop it.

use super::journal::{JournalEntry, JournalOutcome};
use super::judgement::Judgement;
use super::params::Rosa;
use super::refusal::SkipReason;
use super::state::RosaState;
use super::trace::AnswerTrace;
use super::update::{FrozenModel, Update};
use crate::error::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Refusals in a row after which learning pauses.
const MOST_REJECTIONS: u32 = 3;

/// The judgements of one conversation, as far as they decide whether another may teach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RosaHistory {
    judged: BTreeSet<String>,
    updates: u32,
    rejected_in_a_row: u32,
}

impl RosaHistory {
    /// How many updates there were.
    pub fn updates(&self) -> u32 {
        self.updates
    }

    /// Whether guards have refused too many updates in a row.
    pub fn is_paused(&self) -> bool {
        self.rejected_in_a_row >= MOST_REJECTIONS
    }

    /// Goes on learning after a pause.
    pub fn resume(&mut self) {
        self.rejected_in_a_row = 0;
    }

    /// Counts anew, as after a return to the untaught state; answers that were judged stay so.
    pub fn restart(&mut self) {
        self.updates = 0;
        self.resume();
    }

    /// Why an answer may teach nothing, if so.
    pub fn refusal(&self, rosa: &Rosa, trace: &str) -> Option<SkipReason> {
        let refusals = [
            (self.judged.contains(trace), SkipReason::Repeated),
            (self.is_paused(), SkipReason::Paused),
            (self.updates >= rosa.params().max_updates, SkipReason::UpdateCap),
        ];
        refusals.into_iter().find(|(refused, _)| *refused).map(|(_, reason)| reason)
    }

    /// Takes in what came of a judgement. One that led to no step may be made again.
    pub fn record(&mut self, entry: &JournalEntry) {
        match entry.outcome {
            JournalOutcome::Applied { .. } => {
                self.updates += 1;
                self.rejected_in_a_row = 0;
            }
            JournalOutcome::Rejected { .. } => self.rejected_in_a_row += 1,
            JournalOutcome::Skipped { .. } => return,
        }
        self.judged.insert(entry.trace.clone());
    }
}

impl Rosa {
    /// [`update`](Self::update) within the limits of a conversation, whose history takes in what came of it.
    ///
    /// # Errors
    ///
    /// As of [`update`](Self::update); the history is then left as it was.
    pub fn learn(
        &self,
        history: &mut RosaHistory,
        model: &FrozenModel,
        state: &RosaState,
        (trace, judgement): (&AnswerTrace, &Judgement),
    ) -> Result<Update> {
        judgement.check(trace.tokens.len())?;
        if let Some(reason) = history.refusal(self, &trace.id) {
            let entry = JournalEntry::skipped(self, state.version, (trace, judgement), reason);
            return Ok(Update { state: None, entry });
        }
        let update = self.update(model, state, trace, judgement)?;
        history.record(&update.entry);
        Ok(update)
    }
}
