//! From a resolved monitor to the guard of one answer.

use super::library::{GuardLibrary, Turns};
use super::monitor::{GuidanceKind, RewindRule, WatchSpec};
use super::refusal::FieldError;
use super::resolve::{Look, ResolvedMonitor};
use crate::compose::dose::DoseLimit;
use crate::monitor::guard::{Guard, Guidance, OnExhausted, Records, RewindTo, Rules};
use crate::monitor::policy::Caps;
use crate::monitor::sharpness::{Sharpness, Sink};
use crate::monitor::watch::{Cadence, Duty, Watch};
use crate::monitor::{Detector, Lexical};
use crate::stack::Lowered;
use trimtab_runtime::generate::RetryBudget;
use trimtab_runtime::site::Site;

/// An answer that is to be guarded.
#[derive(Clone, Copy)]
pub struct GuardTerms<'a> {
    /// What guards need of the model.
    pub library: &'a GuardLibrary,
    /// What the user wants, in words.
    pub request: &'a str,
    /// In which form the conversation is.
    pub turns: Turns,
    /// Keys the answer's draws.
    pub seed: u64,
    /// What the answer begins under.
    pub steered: &'a Lowered,
    /// How hard it may be pushed.
    pub limit: DoseLimit,
}

impl ResolvedMonitor {
    /// What may be taken back of one answer: the guard counts against the same.
    pub fn retries(&self) -> RetryBudget {
        let caps = self.caps();
        RetryBudget { rewinds: caps.rewinds, discarded: caps.discarded }
    }

    /// The guard of one answer, and what it finds and does.
    pub fn guard(&self, terms: &GuardTerms<'_>) -> Result<(Guard, Records), FieldError> {
        let mut watches = Vec::with_capacity(self.looks.len());
        for (index, (spec, look)) in self.spec.watch.iter().zip(&self.looks).enumerate() {
            let perceiver = perceiver(spec, look, terms);
            let perceiver = perceiver.map_err(|e| e.under(&format!("watch[{index}]")))?;
            watches.push(self.watch(spec, perceiver));
        }
        let rules = self.rules(terms)?;
        Guard::new(watches, rules).map_err(|error| FieldError::of(error, ""))
    }

    fn caps(&self) -> Caps {
        let usual = self.policy.as_ref().map(|policy| *policy.caps()).unwrap_or_default();
        let rewind = self.spec.rewind.clone().unwrap_or_default();
        Caps {
            rewinds: rewind.max.unwrap_or(usual.rewinds),
            discarded: rewind.max_discarded.map_or(usual.discarded, |most| most as usize),
            ..usual
        }
    }

    fn watch(&self, spec: &WatchSpec, perceiver: Box<dyn Detector>) -> Watch {
        let number = |asked: Option<u32>, usual: u32| asked.unwrap_or(usual) as usize;
        let usual = match self.spec.on_exhausted.unwrap_or_default() {
            OnExhausted::Refuse => Duty::Mandatory,
            OnExhausted::Stop | OnExhausted::Keep => Duty::Advisory,
        };
        Watch {
            name: spec.name.clone().unwrap_or_default(),
            perceiver,
            cadence: spec.cadence.unwrap_or(Cadence::Tokens(number(spec.every, 1))),
            min_tokens: number(spec.min_tokens, 0),
            patience: number(spec.patience, 1),
            then: spec.then.unwrap_or_default(),
            duty: spec.guard.unwrap_or(usual),
        }
    }

    fn rules(&self, terms: &GuardTerms<'_>) -> Result<Rules, FieldError> {
        let spec = &self.spec;
        let guidance = self.guidance(terms).map_err(|e| e.under("retry.guidance"))?;
        let room = match &guidance {
            Guidance::Vector(guides) => guides.site().map_or(0.0, |site| self.room(site, terms)),
            Guidance::None | Guidance::Text(_) => 0.0,
        };
        Ok(Rules {
            rewind: self.rewind(terms).map_err(|e| e.under("rewind"))?,
            caps: self.caps(),
            guidance,
            room,
            retry: self.retry.as_ref().map(|retry| retry.plan.clone()),
            plan: terms.steered.plan.clone(),
            on_exhausted: spec.on_exhausted.unwrap_or_default(),
            refusal: spec.refusal.clone().unwrap_or_default(),
            stream: spec.stream.unwrap_or_default(),
            combine: spec.combine.unwrap_or_default(),
        })
    }

    /// How much a push of guidance may add at a site to what is in force on a retry.
    fn room(&self, site: Site, terms: &GuardTerms<'_>) -> f64 {
        let doses = self.retry.as_ref().unwrap_or(terms.steered).site_doses();
        (terms.limit.site - doses.get(&site).copied().unwrap_or(0.0)).max(0.0)
    }

    fn rewind(&self, terms: &GuardTerms<'_>) -> Result<RewindTo, FieldError> {
        let rewind = self.spec.rewind.clone().unwrap_or_default();
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
                let tau = f64::from(rewind.tau.unwrap_or_default());
                let rule = Sharpness::new(tau, sink, terms.library.blocks());
                RewindTo::Sharpness(rule.map_err(|e| FieldError::of(e, ""))?)
            }
        })
    }

    fn guidance(&self, terms: &GuardTerms<'_>) -> Result<Guidance, FieldError> {
        let kind = self.spec.retry.as_ref().and_then(|retry| retry.guidance);
        let told = |e| FieldError::at(e, "");
        let policy = || {
            let missing = || FieldError::new("internal", "", "has no notes in this build");
            self.policy.as_deref().ok_or_else(missing)
        };
        Ok(match kind {
            None | Some(GuidanceKind::None | GuidanceKind::Generated) => Guidance::None,
            Some(GuidanceKind::Text) => {
                Guidance::Text(terms.library.asides(policy()?, terms.turns).map_err(told)?)
            }
            Some(GuidanceKind::Vector) => {
                Guidance::Vector(terms.library.guides(policy()?).map_err(told)?)
            }
        })
    }
}

fn perceiver(
    spec: &WatchSpec,
    look: &Look,
    terms: &GuardTerms<'_>,
) -> Result<Box<dyn Detector>, FieldError> {
    match look {
        Look::Probe(probe) => Ok(Box::new(probe.clone())),
        Look::Text(lexical) => Ok(Box::new(Lexical::clone(lexical))),
        Look::Coot(policy) => terms.library.judge(policy, spec, (terms.request, terms.seed)),
    }
}
