//! From what was resolved to the guard of one answer.

use super::super::field_error::FieldError;
use super::library::{Library, Turns};
use super::{Look, Monitoring};
use crate::error::ApiError;
use crate::steer::Resolved;
use crate::wire::error::Code;
use crate::wire::monitor::{
    Cadence, Combine, Guard as GuardWord, GuidanceKind, OnExhausted, RewindRule, Stream, Then,
    Watch as Written,
};
use trimtab_runtime::generate::RetryBudget;
use trimtab_steering::monitor::guard::{self, Guard, Guidance, Records, RewindTo, Rules};
use trimtab_steering::monitor::policy::Caps;
use trimtab_steering::monitor::sharpness::{Sharpness, Sink};
use trimtab_steering::monitor::watch::{self, Duty, Watch};
use trimtab_steering::monitor::{Detector, Lexical, Record};

/// The answer that is to be guarded.
pub(crate) struct About<'a> {
    pub(crate) library: &'a Library,
    /// What the user wants, in words.
    pub(crate) request: &'a str,
    pub(crate) turns: Turns,
    pub(crate) seed: u64,
}

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
    /// What is on record of the first answer.
    pub(crate) fn into_first(self) -> Option<Records> {
        self.0.into_iter().next().flatten()
    }

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
        self.monitor.as_ref().map_or_else(RetryBudget::default, Monitoring::retries)
    }

    /// The guard of one answer, if the request has a monitor.
    pub(crate) fn guard(
        &self,
        about: &About<'_>,
        guards: &mut Guards,
    ) -> Result<Option<Guard>, ApiError> {
        let Some(monitor) = &self.monitor else {
            guards.0.push(None);
            return Ok(None);
        };
        let made = monitor.watches(about).and_then(|watches| {
            let rules = monitor.rules(self, about)?;
            Guard::new(watches, rules).map_err(|error| FieldError::of(error, ""))
        });
        let (guard, records) = made.map_err(|fault| monitor.voice.refusal(fault))?;
        guards.0.push(Some(records));
        Ok(Some(guard))
    }
}

impl Monitoring {
    fn retries(&self) -> RetryBudget {
        let caps = self.caps();
        RetryBudget { rewinds: caps.rewinds, discarded: caps.discarded }
    }

    fn caps(&self) -> Caps {
        let usual = self.policy.as_ref().map(|policy| *policy.caps()).unwrap_or_default();
        let rewind = self.written.rewind.clone().unwrap_or_default();
        Caps {
            rewinds: rewind.max.unwrap_or(usual.rewinds),
            discarded: rewind.max_discarded.map_or(usual.discarded, |most| most as usize),
            ..usual
        }
    }

    fn watches(&self, about: &About<'_>) -> Result<Vec<Watch>, FieldError> {
        let mut watches = Vec::with_capacity(self.looks.len());
        for (index, (written, look)) in self.written.watch.iter().zip(&self.looks).enumerate() {
            let perceiver = perceiver(written, look, about);
            let perceiver = perceiver.map_err(|e| e.under(&format!("watch[{index}]")))?;
            watches.push(self.watch(written, perceiver));
        }
        Ok(watches)
    }

    fn watch(&self, written: &Written, perceiver: Box<dyn Detector>) -> Watch {
        let number = |asked: Option<u32>, usual: u32| asked.unwrap_or(usual) as usize;
        let cadence = match written.cadence {
            Some(Cadence::Sentence) => watch::Cadence::Sentence,
            Some(Cadence::Tokens(tokens)) => watch::Cadence::Tokens(tokens as usize),
            None => watch::Cadence::Tokens(number(written.every, 1)),
        };
        let on_exhausted = self.written.on_exhausted.unwrap_or_default();
        let duty = match (written.guard, on_exhausted) {
            (Some(GuardWord::Mandatory), _) | (None, OnExhausted::Refuse) => Duty::Mandatory,
            (Some(GuardWord::Advisory), _) | (None, _) => Duty::Advisory,
        };
        Watch {
            name: written.name.clone().unwrap_or_default(),
            perceiver,
            cadence,
            min_tokens: number(written.min_tokens, 0),
            patience: number(written.patience, 1),
            then: match written.then.unwrap_or_default() {
                Then::Rewind => watch::Then::Rewind,
                Then::Stop => watch::Then::Stop,
                Then::Report => watch::Then::Report,
            },
            duty,
        }
    }

    fn rules(&self, resolved: &Resolved, about: &About<'_>) -> Result<Rules, FieldError> {
        let written = &self.written;
        let guidance = self.guidance(about).map_err(|e| e.under("retry.guidance"))?;
        let room = match &guidance {
            Guidance::Vector(guides) => guides.site().map_or(0.0, |site| resolved.room(site)),
            Guidance::None | Guidance::Text(_) => 0.0,
        };
        Ok(Rules {
            rewind: self.rewind(about).map_err(|e| e.under("rewind"))?,
            caps: self.caps(),
            guidance,
            room,
            retry: self.retry.as_ref().map(|retry| retry.plan.clone()),
            plan: resolved.plan.clone(),
            on_exhausted: match written.on_exhausted.unwrap_or_default() {
                OnExhausted::Refuse => {
                    guard::OnExhausted::Refuse(written.refusal.clone().unwrap_or_default())
                }
                OnExhausted::Stop => guard::OnExhausted::Stop,
                OnExhausted::Keep => guard::OnExhausted::Keep,
            },
            stream: match written.stream.unwrap_or_default() {
                Stream::Hold => guard::Stream::Hold,
                Stream::Retract => guard::Stream::Retract,
            },
            combine: match written.combine.unwrap_or_default() {
                Combine::Any => guard::Combine::Any,
                Combine::All => guard::Combine::All,
            },
        })
    }

    fn rewind(&self, about: &About<'_>) -> Result<RewindTo, FieldError> {
        let rewind = self.written.rewind.clone().unwrap_or_default();
        Ok(match rewind.to.unwrap_or_default() {
            RewindRule::Clean => RewindTo::Clean,
            RewindRule::Fixed => {
                RewindTo::Fixed { window: rewind.window.unwrap_or_default() as usize }
            }
            RewindRule::Sharpness => {
                let sink = match rewind.exclude_sink {
                    Some(false) => Sink::Kept,
                    Some(true) | None => Sink::Excluded,
                };
                let blocks = about.library.model.decoder().spec().n_layers();
                let tau = f64::from(rewind.tau.unwrap_or_default());
                let rule = Sharpness::new(tau, sink, blocks);
                RewindTo::Sharpness(rule.map_err(|e| FieldError::of(e, ""))?)
            }
        })
    }

    fn guidance(&self, about: &About<'_>) -> Result<Guidance, FieldError> {
        let kind = self.written.retry.as_ref().and_then(|retry| retry.guidance);
        let told = |e| FieldError::at(e, "");
        let policy = || {
            let missing = || FieldError::new(Code::Internal, "", "has no notes in this build");
            self.policy.as_deref().ok_or_else(missing)
        };
        Ok(match kind {
            None | Some(GuidanceKind::None | GuidanceKind::Generated) => Guidance::None,
            Some(GuidanceKind::Text) => {
                Guidance::Text(about.library.asides(policy()?, about.turns).map_err(told)?)
            }
            Some(GuidanceKind::Vector) => {
                Guidance::Vector(about.library.guides(policy()?).map_err(told)?)
            }
        })
    }
}

fn perceiver(
    written: &Written,
    look: &Look,
    about: &About<'_>,
) -> Result<Box<dyn Detector>, FieldError> {
    match look {
        Look::Probe(probe) => Ok(Box::new(probe.clone())),
        Look::Text(lexical) => Ok(Box::new(Lexical::clone(lexical))),
        Look::Coot(policy) => about.library.judge(policy, written, about),
    }
}
