//! What the guards of one request's answers have on record.

use super::Resolved;
use crate::error::ApiError;
use trimtab_runtime::generate::RetryBudget;
use trimtab_steering::monitor::{Guard, Record, Records};
use trimtab_steering::spec::{GuardTerms, ResolvedMonitor};

/// What the guards of one request's answers write down, in the answers' order: none where nothing watches an answer.
#[derive(Debug, Default)]
pub(crate) struct Guards(Vec<Option<Records>>);

/// Why text is taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cause {
    /// The attempt that follows, if one does.
    pub(crate) attempt: Option<u32>,
    /// The watch that asked for it.
    pub(crate) watch: Option<String>,
}

impl Guards {
    /// What is on record of an answer; `None` where nothing watches.
    pub(crate) fn record(&self, choice: usize) -> Option<Record> {
        self.0.get(choice)?.as_ref().map(Records::read)
    }

    /// Why text of an answer is taken back: for this attempt, or to end it.
    pub(crate) fn cause(&self, choice: usize, attempt: u32) -> Cause {
        let Some(record) = self.record(choice) else { return Cause::default() };
        let retry = record.interventions.iter().find(|one| one.attempt == attempt);
        let cause = retry.or(record.interventions.last());
        Cause {
            attempt: retry.map(|one| one.attempt),
            watch: cause.and_then(|cause| record.watches.get(cause.watch).cloned()),
        }
    }
}

impl Resolved {
    /// What may be taken back of one answer.
    pub(crate) fn retries(&self) -> RetryBudget {
        self.monitor.as_ref().map(ResolvedMonitor::retries).unwrap_or_default()
    }

    /// The guard of one answer, if the request has a monitor.
    pub(crate) fn guard(
        &self,
        terms: &GuardTerms<'_>,
        guards: &mut Guards,
    ) -> Result<Option<Guard>, ApiError> {
        let Some(monitor) = &self.monitor else {
            guards.0.push(None);
            return Ok(None);
        };
        let made = monitor.guard(terms).map_err(|fault| self.voice.refusal(fault));
        let (guard, records) = made?;
        guards.0.push(Some(records));
        Ok(Some(guard))
    }
}
