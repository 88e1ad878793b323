//! What one request is steered by, and the receipt for it.

use super::fault::Fault;
use super::monitor::Monitoring;
use crate::refusal::Refusal;
use crate::wire::error::Code;
use crate::wire::receipt::{Replay, ReplayableReceipt};
use crate::wire::steering::{Level, Op, Steering};
use std::collections::BTreeMap;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;
use trimtab_steering::compose::dose::{DoseLimit, DosePolicy};
use trimtab_steering::receipt::{AnswerFacts, PlanPrints, Receipt, ReceiptModel};
use trimtab_steering::stack::Applied;

/// A dose that is above its limit by rounding alone is not above it.
const SLACK: f64 = 1.0 + 1e-6;

/// What one request is steered by. Whatever changes on the server, this stays.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// What is done to the model.
    pub plan: Plan,
    /// Predicted dose of all vectors at each site where it is known beforehand.
    pub dose: BTreeMap<Site, f64>,
    /// What is to be known about the vectors.
    pub warnings: Vec<String>,
    /// What would be asked to get the same again: everything after defaults and presets were applied.
    pub request: Steering,
    pub(crate) prints: PlanPrints,
    pub(crate) vectors: Vec<Applied>,
    pub(crate) monitor: Option<Monitoring>,
    pub(crate) level: Level,
    pub(crate) limit: DoseLimit,
    pub(crate) model: ReceiptModel,
}

/// What is known of an answer that has ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// The request.
    pub request_id: &'a str,
    /// The answer.
    pub answer: AnswerFacts<'a>,
    /// Fields that nothing was done with.
    pub ignored: &'a [String],
    /// The prompt.
    pub prompt: &'a [u32],
    /// What asks for the same again.
    pub replay: Option<&'a Replay>,
}

/// How many tokens were changed at one site.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fired {
    /// Where.
    pub site: Site,
    /// By what.
    pub op: Op,
    /// How many.
    pub tokens: u64,
    /// Predicted dose, where it can be.
    pub dose: Option<f64>,
}

impl Resolved {
    /// Whether nothing is done to the model, and nothing watches it.
    pub fn is_plain(&self) -> bool {
        self.vectors.is_empty() && self.monitor.is_none()
    }

    /// Puts it beside what pushes at each site already. A retry does both, and is refused if together they push too hard.
    pub(crate) fn beside(&mut self, doses: &BTreeMap<Site, f64>) -> Result<(), Refusal> {
        let retry = self.monitor.as_mut().and_then(|monitor| monitor.retry.as_mut());
        for all in retry.map(|retry| &mut retry.dose).into_iter().chain([&mut self.dose]) {
            for (site, dose) in doses {
                *all.entry(*site).or_default() += dose;
            }
        }
        let (most, held) = (self.limit.site, self.limit.policy != DosePolicy::Warn);
        let retry = self.monitor.as_ref().and_then(|monitor| monitor.retry.as_ref());
        let over =
            retry.and_then(|retry| retry.dose.iter().find(|(_, dose)| **dose > most * SLACK));
        match over.filter(|_| held && !doses.is_empty()) {
            None => Ok(()),
            Some((site, dose)) => {
                let problem = format!(
                    "push {dose:.3} at {site} together with the answer's own, at most {most:.3} is allowed"
                );
                let fault = Fault::new(Code::DoseExceeded, "retry.vectors", problem);
                Err(fault.under("monitor").refusal())
            }
        }
    }

    /// How much a push of guidance may add at a site to what is in force on a retry.
    pub(crate) fn room(&self, site: Site) -> f64 {
        let retry = self.monitor.as_ref().and_then(|monitor| monitor.retry.as_ref());
        let doses = retry.map_or(&self.dose, |retry| &retry.dose);
        (self.limit.site - doses.get(&site).copied().unwrap_or(0.0)).max(0.0)
    }

    /// What fired where, for metrics.
    pub fn fired(&self, facts: &Facts<'_>) -> impl Iterator<Item = Fired> {
        let fired = facts.answer.fired;
        self.in_force(facts.answer.rewinds).iter().flat_map(move |vector| {
            vector.sites.iter().map(move |at| Fired {
                site: at.site,
                op: vector.op,
                tokens: at.tokens(fired),
                dose: at.dose,
            })
        })
    }

    /// The vectors of an answer's last attempt: after a rewind those of the retry too.
    fn in_force(&self, rewinds: u32) -> &[Applied] {
        let retry = self.monitor.as_ref().and_then(|monitor| monitor.retry.as_ref());
        match retry.filter(|_| rewinds > 0) {
            Some(retry) => &retry.vectors,
            None => &self.vectors,
        }
    }

    /// The receipt, if one is due: something was done to the model and the request did not say `none`, or it said
    /// `full`, which tells how to get the same again even where that is nothing.
    pub fn receipt(&self, facts: &Facts<'_>) -> Option<ReplayableReceipt> {
        match self.level {
            Level::None => None,
            Level::Summary if self.is_plain() => None,
            Level::Summary => Some(self.summary(facts)),
            Level::Full => Some(self.full(facts)),
        }
    }

    /// With all that is needed to do it again, whatever the request said.
    pub fn full(&self, facts: &Facts<'_>) -> ReplayableReceipt {
        let prompt = Some(facts.prompt.to_vec());
        ReplayableReceipt { prompt, request: facts.replay.cloned(), ..self.summary(facts) }
    }

    fn summary(&self, facts: &Facts<'_>) -> ReplayableReceipt {
        let applied = self.in_force(facts.answer.rewinds);
        let (prints, vectors) = (&self.prints, (applied, self.warnings.as_slice()));
        let receipt = Receipt::new(&self.model, prints, vectors, &facts.answer);
        let variables = facts.replay.map(|replay| replay.chat_template_kwargs.clone());
        let summary = Receipt {
            request_id: Some(facts.request_id.to_owned()),
            chat_template_kwargs: variables.unwrap_or_default(),
            ignored: facts.ignored.to_vec(),
            ..receipt
        };
        ReplayableReceipt { summary, prompt: None, request: None }
    }
}
