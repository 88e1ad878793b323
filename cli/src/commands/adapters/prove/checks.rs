//! The checks, in order.

use super::answers::{Told, differing, held_out, in_force, judged, reworded};
use super::copy::Proving;
use crate::console::Console;
use crate::error::{Error, Result};
use crate::interrupt::Stoppable;
use trimtab_adapters::host::{AdapterConfig, FeedbackStatus, PinRequest};
use trimtab_runtime::generate::Flow;
use trimtab_steering::neutral::{DriftOptions, Text, drift};
use trimtab_steering::verify::{Check, Verdict};

/// Lessons of a fresh adapter that must have been taken.
const LESSONS: usize = 3;
/// Tokens of a window of neutral text, and how many there are.
const WINDOW: usize = 256;
const WINDOWS: usize = 4;
/// How much the perplexity of neutral text may rise.
const MOST_RATIO: f64 = 1.1;
/// Mean divergence on neutral text where an adapter has no limit of its own.
const MOST_KL: f64 = 0.1;

/// A check that something is at most so much.
pub fn most(name: &'static str, value: f64, limit: f64, note: impl Into<String>) -> Check {
    let verdict = if value <= limit { Verdict::Passed } else { Verdict::Failed };
    Check { name, verdict, value: Some(value), limit: Some(limit), note: note.into() }
}

/// A check that a number has a sign.
pub fn signed(name: &'static str, value: f64, sign: f64, note: impl Into<String>) -> Check {
    let verdict = if value * sign > 0.0 { Verdict::Passed } else { Verdict::Failed };
    Check { name, verdict, value: Some(value), limit: Some(0.0), note: note.into() }
}

/// Everything; what Ctrl-C ends has no result.
pub fn all(mut proving: Proving<'_>, console: &Console) -> Result<Vec<Check>> {
    let stoppable = Stoppable::begin();
    let mut checks = Vec::new();
    let mut done = |own: Vec<Check>| {
        own.iter().for_each(|check| console.debug(format!("{} done", check.name)));
        checks.extend(own);
        if stoppable.is_stopping() { Err(Error::Interrupted) } else { Ok(()) }
    };
    done(proving.lessons_taken())?;
    let plain = proving.told(None, &held_out(proving.opened)?)?;
    done(vec![proving.untaught_identical(&plain)?])?;
    done(match &proving.config {
        AdapterConfig::Rosa { .. } => proving.thumbs()?,
        AdapterConfig::Tpop(_) => proving.choices()?,
    })?;
    done(proving.effect(&plain)?)?;
    let proving = proving.reopened()?;
    done(vec![proving.zero_update_identical()?])?;
    done(vec![proving.versions_reproduce()?])?;
    done(proving.deleted()?)?;
    Ok(checks)
}

impl Proving<'_> {
    fn lessons_taken(&self) -> Vec<Check> {
        if self.lessons.is_empty() {
            return Vec::new();
        }
        let applied = |status| status == FeedbackStatus::Applied;
        let taken = self.lessons.iter().filter(|report| applied(report.status)).count();
        let reasons = self.lessons.iter().filter_map(|report| report.reason.clone());
        let reasons: Vec<String> = reasons.collect();
        let note = match reasons.is_empty() {
            true => "lessons taken".to_owned(),
            false => format!("lessons taken, others refused: {}", reasons.join(", ")),
        };
        let verdict = if taken == LESSONS { Verdict::Passed } else { Verdict::Failed };
        let (value, limit) = (Some(taken as f64), Some(LESSONS as f64));
        vec![Check { name: "lessons_taken", verdict, value, limit, note }]
    }

    /// Version 0 against no adapter at all.
    fn untaught_identical(&self, plain: &[Told]) -> Result<Check> {
        let prompts = held_out(self.opened)?;
        let untaught = self.pin(PinRequest::Version(0))?;
        let differ = differing(&self.told(Some(&untaught), &prompts)?, plain);
        let note = format!("of {} answers of version 0 differ from those without", prompts.len());
        Ok(most("untaught_identical", differ as f64, 0.0, note))
    }

    /// The newest version against the same published once more, which is an update of zero.
    fn zero_update_identical(&self) -> Result<Check> {
        let prompts = held_out(self.opened)?;
        let before = self.pin(PinRequest::Newest)?;
        let told = self.told(Some(&before), &prompts)?;
        self.learning.wait(self.learning.host().revert(&self.key, before.version()))?;
        let after = self.pin(PinRequest::Newest)?;
        let differ = differing(&told, &self.told(Some(&after), &prompts)?);
        let note = format!(
            "of {} answers of version {} differ from those of {}, which it equals",
            prompts.len(),
            after.version(),
            before.version()
        );
        Ok(most("zero_update_identical", differ as f64, 0.0, note))
    }

    /// What the newest version does to answers that were not judged and to neutral text.
    fn effect(&self, plain: &[Told]) -> Result<Vec<Check>> {
        let (prompts, newest) = (held_out(self.opened)?, self.pin(PinRequest::Newest)?);
        let told = self.told(Some(&newest), &prompts)?;
        let changed = reworded(&told, plain);
        let held_out = Check {
            name: "held_out_changed",
            verdict: Verdict::Skipped,
            value: Some(changed as f64),
            limit: None,
            note: format!("of {} answers that were not judged", prompts.len()),
        };
        let plan = in_force(Some(&newest))?;
        let window = WINDOW.min(self.opened.model.room() / 2);
        let options = DriftOptions { window, most: Some(WINDOWS) };
        let go_on = &mut |_, _| Flow::Continue;
        let drifts = drift(&self.opened.model, Text::test(), &[plan], &options, go_on)?;
        let Some(drift) = drifts.first() else { return Ok(vec![held_out]) };
        let limit = match &self.config {
            AdapterConfig::Rosa { params } => params.canary_mean,
            AdapterConfig::Tpop(_) => MOST_KL,
        };
        let tokens = drift.tokens;
        Ok(vec![
            held_out,
            most("neutral_kl", drift.kl, limit, format!("nats a token, {tokens} neutral tokens")),
            most(
                "neutral_perplexity",
                drift.ppl_ratio,
                MOST_RATIO,
                format!("times plain, 95 % {:.4} to {:.4}", drift.ratio_low, drift.ratio_high),
            ),
        ])
    }

    /// Every version again, after a restart and a revert to it, against what it answered at first.
    fn versions_reproduce(&self) -> Result<Check> {
        let (prompts, host) = (judged(self.opened)?, self.learning.host());
        let (mut differ, mut kinds) = (0, Vec::new());
        for published in &self.history {
            self.learning.wait(host.revert(&self.key, published.version))?;
            let pinned = self.pin(PinRequest::Newest)?;
            let told = self.told(Some(&pinned), &prompts)?;
            differ += usize::from(differing(&told, &published.told) > 0);
            if !kinds.contains(&told) {
                kinds.push(told);
            }
        }
        let note = format!(
            "of {} versions differ after a restart and a revert; {} of them answer differently from each other",
            self.history.len(),
            kinds.len()
        );
        Ok(most("versions_reproduce", differ as f64, 0.0, note))
    }
}
