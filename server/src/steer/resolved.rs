//! What one request is steered by, and the receipt for it.

use super::fault::Fault;
use super::frame::{Frame, Invariance};
use super::monitor::{self, Monitoring};
use crate::refusal::Refusal;
use crate::wire::error::Code;
use crate::wire::flag::Flag;
use crate::wire::receipt::{Cost, Receipt, Replay, SiteReceipt, VectorReceipt};
use crate::wire::steering::{Level, Op, Steering};
use std::collections::BTreeMap;
use trimtab_runtime::fingerprint::Fingerprint;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;
use trimtab_steering::compose::dose::{DoseLimit, DosePolicy};
use trimtab_steering::file::card::Operation;
use trimtab_steering::monitor::Record;

/// Version of the receipt's shape.
const SPEC: u32 = 1;
/// Digits of a fingerprint that a receipt shows.
const DIGITS: usize = 16;
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
    pub(crate) fingerprint: Fingerprint,
    pub(crate) kv: Fingerprint,
    pub(crate) vectors: Vec<InForce>,
    pub(crate) monitor: Option<Monitoring>,
    pub(crate) level: Level,
    pub(crate) limit: DoseLimit,
    pub(crate) model: Model,
}

/// A vector of a plan.
#[derive(Debug, Clone)]
pub(crate) struct InForce {
    pub(crate) id: String,
    pub(crate) sha256: String,
    pub(crate) operation: Operation,
    pub(crate) scale: f32,
    pub(crate) sites: Vec<SiteInForce>,
}

/// A vector at one site.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SiteInForce {
    pub(crate) site: Site,
    /// The intervention of the plan that acts there.
    pub(crate) item: usize,
    /// At how many sites that intervention acts.
    pub(crate) shares: u64,
    /// Predicted, where it can be.
    pub(crate) dose: Option<f64>,
}

/// What a receipt says about the model.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    weights_sha256: String,
    template_sha256: Option<String>,
    invariance: Invariance,
}

impl Model {
    pub(crate) fn of(frame: &Frame) -> Model {
        Model {
            weights_sha256: frame.pin.weights_sha256.clone(),
            template_sha256: frame.pin.template_sha256.clone(),
            invariance: frame.invariance,
        }
    }
}

/// What is known of an answer that has ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// The request.
    pub request_id: &'a str,
    /// Keys its draws.
    pub seed: u64,
    /// How often it was begun, rewinds included.
    pub attempts: u32,
    /// What its guard found and did.
    pub record: Option<&'a Record>,
    /// Positions each intervention has changed, in plan order.
    pub fired: &'a [u64],
    /// Tokens that were computed.
    pub forward_tokens: usize,
    /// Of them taken back.
    pub discarded_tokens: usize,
    /// Tokens that were computed for monitors.
    pub monitor_tokens: usize,
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
        let fired = facts.fired;
        self.in_force(facts.attempts).iter().flat_map(move |vector| {
            let op = Op::from(vector.operation);
            vector.sites.iter().map(move |at| Fired {
                site: at.site,
                op,
                tokens: at.tokens(fired),
                dose: at.dose,
            })
        })
    }

    /// The vectors of an answer's last attempt: after a rewind those of the retry too.
    fn in_force(&self, attempts: u32) -> &[InForce] {
        let retry = self.monitor.as_ref().and_then(|monitor| monitor.retry.as_ref());
        match retry.filter(|_| attempts > 1) {
            Some(retry) => &retry.vectors,
            None => &self.vectors,
        }
    }

    /// The receipt, if one is due: something was done to the model and the request did not say `none`, or it said
    /// `full`, which tells how to get the same again even where that is nothing.
    pub fn receipt(&self, facts: &Facts<'_>) -> Option<Receipt> {
        match self.level {
            Level::None => None,
            Level::Summary if self.is_plain() => None,
            Level::Summary => Some(self.summary(facts)),
            Level::Full => Some(self.full(facts)),
        }
    }

    /// With all that is needed to do it again, whatever the request said.
    pub fn full(&self, facts: &Facts<'_>) -> Receipt {
        let prompt = Some(facts.prompt.to_vec());
        Receipt { prompt, request: facts.replay.cloned(), ..self.summary(facts) }
    }

    fn summary(&self, facts: &Facts<'_>) -> Receipt {
        let vectors = self.in_force(facts.attempts);
        Receipt {
            spec: SPEC,
            request_id: facts.request_id.to_owned(),
            seed: facts.seed,
            attempts: facts.attempts,
            plan: digits(&self.fingerprint),
            kv: digits(&self.kv),
            weights_sha256: self.model.weights_sha256.clone(),
            template_sha256: self.model.template_sha256.clone(),
            batch_invariant: match self.model.invariance {
                Invariance::Holds => Flag::Yes,
                Invariance::Unproven => Flag::No,
            },
            vectors: vectors.iter().map(|vector| vector.receipt(facts.fired)).collect(),
            monitor: facts.record.map(monitor::receipt),
            cost: Cost {
                forward_tokens: facts.forward_tokens as u64,
                discarded_tokens: facts.discarded_tokens as u64,
                monitor_tokens: facts.monitor_tokens as u64,
            },
            ignored: facts.ignored.to_vec(),
            warnings: self.warnings.clone(),
            prompt: None,
            request: None,
        }
    }
}

impl InForce {
    fn receipt(&self, fired: &[u64]) -> VectorReceipt {
        let site = |at: &SiteInForce| SiteReceipt {
            site: at.site.to_string(),
            tokens: at.tokens(fired),
            dose: at.dose,
            dose_mean: None,
            dose_max: None,
            before: None,
            after: None,
        };
        VectorReceipt {
            id: self.id.clone(),
            sha256: self.sha256.clone(),
            op: Op::from(self.operation),
            scale: self.scale,
            sites: self.sites.iter().map(site).collect(),
        }
    }
}

impl SiteInForce {
    /// Its part of what its intervention counted over all of its sites: exact for additions, which change the same
    /// tokens everywhere, and a mean for a gated vector of several sites, one of which may have left a token as it was.
    fn tokens(&self, fired: &[u64]) -> u64 {
        fired.get(self.item).map_or(0, |all| all / self.shares.max(1))
    }
}

fn digits(fingerprint: &Fingerprint) -> String {
    fingerprint.to_string().chars().take(DIGITS).collect()
}
