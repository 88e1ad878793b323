//! The monitor of one request: from its object to the guards of its answers.
//!
//! Everything that can be refused is refused here, before a token is made: a watch that could not act is no watch.

mod asked;
mod guard;
mod library;

pub(crate) use asked::kind;
pub(crate) use guard::{About, Cause, Guards};
pub(crate) use library::{Library, Turns};

use super::fault::Fault;
use super::piece::Bench;
use super::registry;
use super::resolve::{Layer, Lowered, Voice};
use super::shelf::Lock;
use crate::refusal::Refusal;
use crate::wire::error::Code;
use crate::wire::monitor::{Monitor, Stream, Watch, WatchKind};
use crate::wire::steering::Steering;
use std::sync::Arc;
use trimtab_runtime::site::{Site, SiteError};
use trimtab_steering::gate::{Condition, Side};
use trimtab_steering::monitor::policy::Policy;
use trimtab_steering::monitor::{Lexical, Probe};

/// The policy that counts where none is named.
const DEFAULT_POLICY: &str = "default";

/// What watches the answers of one request.
#[derive(Debug, Clone)]
pub(crate) struct Monitoring {
    /// Whose it is.
    pub(crate) voice: Voice,
    /// What would be asked to be watched the same again.
    pub(crate) written: Monitor,
    /// What the watches look at, in their order.
    pub(crate) looks: Vec<Look>,
    /// Whose notes guide a retry: that of the first watch that judges, or the usual one.
    pub(crate) policy: Option<Arc<Policy>>,
    /// What is done to the model once an answer was rewound, where that is something else.
    pub(crate) retry: Option<Lowered>,
}

/// What a watch looks at.
#[derive(Debug, Clone)]
pub(crate) enum Look {
    /// A direction.
    Probe(Probe),
    /// Letters.
    Text(Arc<Lexical>),
    /// A policy's principles.
    Coot(Arc<Policy>),
}

impl Monitoring {
    /// The monitor of the last layer that has one, but for what is done to the model on a retry.
    pub(crate) fn of(
        bench: Bench<'_>,
        layers: &[Layer<'_>],
    ) -> Result<Option<Monitoring>, Refusal> {
        let Some((layer, asked)) = said(layers) else {
            return Ok(None);
        };
        let voice = layer.voice.inside("monitor");
        let read = || {
            let policy = policy(bench, asked)?;
            let mut written = asked::settled(asked, policy.as_deref())?;
            // Whoever does not know that text can be taken back must not be sent such text.
            if !layer.voice.is_body() {
                written.stream = Some(Stream::Hold);
            }
            let mut looks = Vec::with_capacity(written.watch.len());
            for (index, watch) in written.watch.iter().enumerate() {
                let look = look(bench, watch).map_err(|e| e.under(&format!("watch[{index}]")))?;
                looks.push(look);
            }
            Ok(Monitoring { voice: voice.clone(), written, looks, policy, retry: None })
        };
        read().map(Some).map_err(|fault| voice.refusal(fault))
    }

    /// The digest of each watch's policy, where it has one.
    pub(crate) fn policies(&self) -> Vec<Option<String>> {
        let digest = |look: &Look| match look {
            Look::Coot(policy) => Some(policy.digest()),
            Look::Probe(_) | Look::Text(_) => None,
        };
        self.looks.iter().map(digest).collect()
    }

    /// The vectors of a retry as a layer's object, if there are any.
    pub(crate) fn retry_vectors(&self) -> Option<Steering> {
        let vectors = self.written.retry.as_ref()?.vectors.clone()?;
        (!vectors.is_empty()).then(|| Steering { vectors: Some(vectors), ..Steering::default() })
    }
}

/// The monitor that counts, and whose it is.
pub(crate) fn said<'a, 'b>(layers: &'b [Layer<'a>]) -> Option<(&'b Layer<'a>, &'a Monitor)> {
    layers.iter().rev().find_map(|layer| Some((layer, layer.object.monitor.as_ref()?)))
}

/// Whose retry it is, and whether requests can drop that.
pub(crate) fn retry_of(layers: &[Layer<'_>]) -> (Voice, Lock) {
    let of = said(layers).map(|(layer, _)| (layer.voice.inside("monitor.retry"), layer.lock));
    of.unwrap_or_else(|| (Voice::Body("steering.monitor.retry".to_owned()), Lock::Open))
}

fn look(bench: Bench<'_>, watch: &Watch) -> Result<Look, Fault> {
    match watch.kind {
        WatchKind::Probe => probe(bench, watch).map(Look::Probe),
        WatchKind::Text => text(watch).map(Look::Text),
        // The kinds that are not built have been refused.
        WatchKind::Coot | WatchKind::Cue | WatchKind::Geometry => {
            named(bench, watch).cloned().map(Look::Coot)
        }
    }
}

fn text(watch: &Watch) -> Result<Arc<Lexical>, Fault> {
    let texts = |texts: &Option<Vec<String>>| texts.clone().unwrap_or_default();
    for (index, pattern) in watch.regex.iter().flatten().enumerate() {
        let alone = Lexical::new(&[], std::slice::from_ref(pattern));
        alone.map_err(|e| Fault::at(e, &format!("regex[{index}]")))?;
    }
    let lexical = Lexical::new(&texts(&watch.any), &texts(&watch.regex));
    lexical.map(Arc::new).map_err(|e| Fault::of(e, ""))
}

/// The policy of the first watch that judges, or the usual one.
fn policy(bench: Bench<'_>, asked: &Monitor) -> Result<Option<Arc<Policy>>, Fault> {
    let mut judges = asked.watch.iter().enumerate().filter(|(_, w)| w.kind == WatchKind::Coot);
    match judges.next() {
        None => Ok(bench.setup.policies.get(DEFAULT_POLICY).cloned()),
        Some((index, watch)) => {
            let found = named(bench, watch).map_err(|e| e.under(&format!("watch[{index}]")))?;
            Ok(Some(found.clone()))
        }
    }
}

/// The policy that a watch names.
fn named<'a>(bench: Bench<'a>, watch: &Watch) -> Result<&'a Arc<Policy>, Fault> {
    let policies = &bench.setup.policies;
    let name = watch.policy.as_deref().unwrap_or(DEFAULT_POLICY);
    policies.get(name).ok_or_else(|| {
        let known: Vec<&str> = policies.keys().map(String::as_str).collect();
        let problem = format!("is {name:?}, which is no policy; there is {}", known.join(", "));
        Fault::value("policy", problem)
    })
}

/// A probe on a registered vector of either role.
fn probe(bench: Bench<'_>, watch: &Watch) -> Result<Probe, Fault> {
    let id = watch.vector.as_deref().unwrap_or_default();
    let found = bench.state.vectors.get(id);
    let file = &found.ok_or_else(|| registry::unknown("vector", id))?.file;
    let site = watch.site.as_deref().map(str::parse::<Site>).transpose();
    let site = site.map_err(|e: SiteError| {
        Fault::new(Code::SiteUnknown, "site", format!("is no site: {e}"))
    })?;
    let (side, threshold) = match (watch.above, watch.below) {
        (Some(above), _) => (Side::Above, above),
        (None, below) => (Side::Below, below.unwrap_or_default()),
    };
    let condition = match site {
        None => Condition::new(file, side, threshold),
        Some(site) => Condition::at(file, site, side, threshold),
    };
    let probe = condition.and_then(|condition| Probe::new(condition, &bench.frame.spec));
    probe.map_err(|error| {
        let field = match &error {
            trimtab_steering::Error::Setting { field: "gate.site", .. } => "site",
            trimtab_steering::Error::Setting { field: "gate.threshold", .. } => match side {
                Side::Above => "above",
                Side::Below => "below",
            },
            _ => "vector",
        };
        Fault::at(error, field)
    })
}
