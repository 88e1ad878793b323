//! What a guard wrote down, as receipts tell it.

use crate::wire::receipt::{MonitorReceipt, RewindReceipt};
use trimtab_steering::monitor::Record;
use trimtab_steering::monitor::record::{Intervention, Outcome};

/// A record as the wire has it.
pub(in crate::steer) fn receipt(record: &Record) -> MonitorReceipt {
    let ended = matches!(record.outcome, Outcome::Stopped | Outcome::Exhausted | Outcome::Flagged);
    MonitorReceipt {
        outcome: record.outcome.name().to_owned(),
        checks: record.checks.len() as u64,
        hits: record.hits as u64,
        held: record.held as u64,
        rewinds: record.rewinds().map(|rewind| self::rewind(record, rewind)).collect(),
        reason: record.why.clone().filter(|_| ended),
    }
}

fn rewind(record: &Record, rewind: &Intervention) -> RewindReceipt {
    RewindReceipt {
        attempt: rewind.attempt,
        watch: record.watches.get(rewind.watch).cloned().unwrap_or_default(),
        from: rewind.from as u64,
        at: rewind.at as u64,
        discarded: rewind.span.len() as u64,
        score: Some(rewind.score).filter(|score| score.is_finite()),
        action: "retry".to_owned(),
        rule: rewind.rule.to_owned(),
        guidance: rewind.guidance.clone(),
        beta: rewind.beta,
        state: rewind.state.map(|state| state.0),
        outcome: rewind.sequel.name().to_owned(),
    }
}
