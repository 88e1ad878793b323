//! What guards found and did, as the audit keeps it.

use super::trace::About;
use crate::persistence::Persistence;
use std::collections::BTreeMap;
use trimtab_adapters::store::{GuardActionRow, now_ms};
use trimtab_steering::monitor::record::{self, Check};
use trimtab_steering::monitor::{Action, Record};
use trimtab_steering::spec::ResolvedMonitor;

/// Rows of one answer for what its watches found and nothing followed from.
const MOST_CHECKS: usize = 64;

/// A guarded answer that has ended.
pub(super) struct GuardedAnswer<'a> {
    pub(super) choice: usize,
    /// Tokens of the answer that was given.
    pub(super) tokens: usize,
    pub(super) record: &'a Record,
}

/// Notes what happened to the answers of one request.
pub(super) struct AuditRecorder {
    keep: Persistence,
    /// What all of its rows say.
    row: GuardActionRow,
    kinds: Vec<&'static str>,
    policies: Vec<Option<String>>,
}

impl AuditRecorder {
    /// Of a request whose answers are watched.
    pub(super) fn new(
        keep: &Persistence,
        about: &About<'_>,
        monitor: Option<&ResolvedMonitor>,
    ) -> Option<AuditRecorder> {
        let monitor = monitor?;
        let bytes: Vec<u8> = about.prompt.iter().flat_map(|token| token.to_le_bytes()).collect();
        let row = GuardActionRow {
            request: about.request_id.to_owned(),
            response: about.response.to_owned(),
            trace: about.trace_id(),
            owner: about.owner.to_owned(),
            weights_sha256: about.weights_sha256.to_owned(),
            prompt_sha256: trimtab_steering::file::sha256(&bytes),
            ..GuardActionRow::default()
        };
        let kinds = monitor.spec.watch.iter().map(|watch| watch.kind.as_str()).collect();
        Some(AuditRecorder { keep: keep.clone(), row, kinds, policies: monitor.policies() })
    }

    /// The kinds of the watches, in their order.
    pub(super) fn kinds(&self) -> &[&'static str] {
        &self.kinds
    }

    /// Notes an answer's story.
    pub(super) fn tell(&self, story: &GuardedAnswer<'_>) {
        if self.keep.notes_interventions() {
            self.keep.interventions(self.rows(story));
        }
    }

    /// The rows of a story: what was found, what was done about it, and the end.
    fn rows(&self, story: &GuardedAnswer<'_>) -> Vec<GuardActionRow> {
        let record = story.record;
        let row = GuardActionRow {
            when_ms: now_ms(),
            choice: u32::try_from(story.choice).unwrap_or(u32::MAX),
            guidance: "none".to_owned(),
            ..self.row.clone()
        };
        let mut rows = Vec::new();
        let mut found = Found::default();
        let mut done = record.interventions.iter().peekable();
        let mut attempt = 0;
        for check in &record.checks {
            if let Some(next) = done.next_if(|next| belongs(next, check)) {
                rows.push(self.intervention(&row, record, (next, attempt)));
                attempt = attempt.max(next.attempt);
            } else if self.is_told(check) {
                found
                    .note(check, attempt, &mut rows, || self.check(&row, record, (check, attempt)));
            }
        }
        rows.extend(done.map(|next| self.intervention(&row, record, (next, attempt))));
        let why = record.why.clone().unwrap_or_default();
        rows.push(GuardActionRow {
            attempt,
            action: "end".to_owned(),
            rule: why,
            watch: "guard".to_owned(),
            from: small(story.tokens),
            at: small(story.tokens),
            outcome: record.outcome.name().to_owned(),
            count: 1,
            ..row
        });
        rows
    }

    /// Whether a check is noted by itself: what judges says little and that of everything, the others look often.
    fn is_told(&self, check: &Check) -> bool {
        let judged = self.kinds.get(check.watch).is_some_and(|kind| *kind == "coot");
        judged || matches!(check.action, Action::Unknown | Action::Rollback)
    }

    fn check(
        &self,
        row: &GuardActionRow,
        record: &Record,
        (check, attempt): (&Check, u32),
    ) -> GuardActionRow {
        GuardActionRow {
            attempt,
            watch: name(record, check.watch),
            policy_sha256: self.policy(check.watch),
            from: small(check.at),
            at: small(check.at),
            score: Some(check.score),
            margin: Some(check.margin),
            state: check.state.map(|state| state.to_string()),
            action: action(check).to_owned(),
            count: 1,
            outcome: "noted".to_owned(),
            ..row.clone()
        }
    }

    fn intervention(
        &self,
        row: &GuardActionRow,
        record: &Record,
        (done, attempt): (&record::GuardAction, u32),
    ) -> GuardActionRow {
        GuardActionRow {
            attempt,
            watch: name(record, done.watch),
            policy_sha256: self.policy(done.watch),
            from: small(done.from),
            at: small(done.at),
            score: Some(done.score),
            margin: Some(done.margin),
            state: done.state.map(|state| state.to_string()),
            action: if done.attempt > 0 { "retry" } else { done.rule }.to_owned(),
            rule: done.rule.to_owned(),
            guidance: done.guidance.clone(),
            beta: done.beta,
            // Tokens are words, and this row outlives them.
            ban: Vec::new(),
            discarded: small(done.span.len()),
            span_sha256: (!done.span.is_empty()).then(|| done.hash.clone()),
            text: (!done.span.is_empty()).then(|| done.text.clone()),
            outcome: done.sequel.name().to_owned(),
            count: 1,
            ..row.clone()
        }
    }

    fn policy(&self, watch: usize) -> Option<String> {
        self.policies.get(watch).cloned().flatten()
    }
}

/// What was found in one answer, each thing with its row: a watch that reports looks at every token, and a request may
/// bring one that finds something in all of them.
#[derive(Default)]
struct Found(BTreeMap<(usize, &'static str, u32, Option<String>), usize>);

impl Found {
    /// Notes a check in the row of its kind, or in a new one while there are few.
    fn note(
        &mut self,
        check: &Check,
        attempt: u32,
        rows: &mut Vec<GuardActionRow>,
        row: impl FnOnce() -> GuardActionRow,
    ) {
        let state = check.state.map(|state| state.to_string());
        let key = (check.watch, action(check), attempt, state);
        let known = self.0.get(&key).and_then(|at| rows.get_mut(*at));
        if let Some(known) = known {
            known.at = small(check.at);
            known.count = known.count.saturating_add(1);
            // The clearest finding stands for all.
            if known.margin.is_none_or(|margin| check.margin > margin) {
                (known.score, known.margin) = (Some(check.score), Some(check.margin));
            }
        } else if self.0.len() < MOST_CHECKS {
            self.0.insert(key, rows.len());
            rows.push(row());
        }
    }
}

/// What a check came to, in a word.
fn action(check: &Check) -> &'static str {
    match check.action {
        Action::Continue => "continue",
        Action::Watch => "watch",
        Action::Unknown => "unknown",
        Action::Rollback => "hit",
    }
}

/// Whether something was done because of a check.
fn belongs(done: &record::GuardAction, check: &Check) -> bool {
    done.watch == check.watch && done.at == check.at && check.action != Action::Continue
}

fn name(record: &Record, watch: usize) -> String {
    record.watches.get(watch).cloned().unwrap_or_else(|| "guard".to_owned())
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
