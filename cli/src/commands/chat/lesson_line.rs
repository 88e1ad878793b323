//! What came of a lesson, on one line.

use crate::commands::adapters::tables::guard_name;
use trimtab_adapters::host::{FeedbackReport, FeedbackStatus};
use trimtab_adapters::rosa::GuardReading;

/// The version, what was spent and what said no.
pub fn lesson_line(report: &FeedbackReport) -> String {
    let version = report.adapter.version;
    let mut line = match report.status {
        FeedbackStatus::Applied => format!("learnt: version {version}"),
        FeedbackStatus::Rejected => format!("not learnt: version stays {version}"),
        FeedbackStatus::Queued => format!("waits its turn: version is {version}"),
    };
    if let Some(step) = &report.step {
        line.push_str(&format!(", KL {:.4} of {}", step.kl, step.kl_limit));
        if report.status == FeedbackStatus::Applied {
            line.push_str(&format!(", norm {:.3}", step.norm));
        }
    }
    if let Some(bandit) = &report.bandit {
        line.push_str(&format!(", {} choices", bandit.pairs));
        if !bandit.updated && report.status == FeedbackStatus::Applied {
            line.push_str(", this one is only stored");
        }
        if let Some(warning) = &bandit.warning {
            line.push_str(&format!(", warning {warning}"));
        }
    }
    let missed = report.guards.iter().filter(|guard| !guard.passed);
    let missed: Vec<String> = missed.map(|guard| format!("guard {}", reading(guard))).collect();
    let why = if missed.is_empty() { Vec::from_iter(report.reason.clone()) } else { missed };
    why.iter().for_each(|why| line.push_str(&format!("; {why}")));
    if report.duplicate {
        line.push_str("; the same was said before");
    }
    line
}

/// What can be done about a lesson that was refused.
pub fn lesson_hint(report: &FeedbackReport) -> Option<&'static str> {
    match report.reason.as_deref()? {
        "sign_not_allowed" => Some("--adapt-param signs=both learns from right answers, too"),
        "stale" => Some("/again answers under the version in force; judge that answer"),
        "paused" | "update_cap" => Some("/revert 0 begins anew"),
        _ => None,
    }
}

fn reading(guard: &GuardReading) -> String {
    format!("{} {:.4} is over {}", guard_name(guard), guard.value, guard.limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_adapters::host::{StepSummary, VersionChange};
    use trimtab_adapters::rosa::GuardName;

    fn report(status: FeedbackStatus, version: u32) -> FeedbackReport {
        FeedbackReport {
            object: "feedback".to_owned(),
            id: "fb-1".to_owned(),
            status,
            reason: None,
            duplicate: false,
            adapter: VersionChange { id: "chat".to_owned(), from: 2, version },
            step: None,
            guards: Vec::new(),
            bandit: None,
        }
    }

    #[test]
    fn a_line_says_what_was_learnt_and_what_said_no() {
        let step = StepSummary {
            kl: 0.013,
            kl_limit: 0.02,
            cg_iterations: 8,
            backtracks: 1,
            norm: 0.42,
            log_p_change: -0.1,
        };
        let applied = FeedbackReport { step: Some(step), ..report(FeedbackStatus::Applied, 3) };
        assert_eq!(lesson_line(&applied), "learnt: version 3, KL 0.0130 of 0.02, norm 0.420");
        let missed =
            GuardReading { name: GuardName::CanaryStep, value: 0.031, limit: 0.02, passed: false };
        let reason = Some("canary_step".to_owned());
        let rejected =
            FeedbackReport { reason, guards: vec![missed], ..report(FeedbackStatus::Rejected, 2) };
        assert_eq!(
            lesson_line(&rejected),
            "not learnt: version stays 2; guard canary_step 0.0310 is over 0.02"
        );
        assert_eq!(lesson_hint(&rejected), None);
    }
}
