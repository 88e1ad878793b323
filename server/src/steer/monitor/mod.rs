//! The monitor of one request: from its object to the guards of its answers.
//!
//! Everything that can be refused is refused here, before a token is made: a watch that could not act is no watch.

mod asked;

pub(crate) use asked::kind;

use super::fault::Fault;
use super::piece::Bench;
use super::registry;
use super::resolve::{Layer, Lowered, Voice};
use crate::refusal::Refusal;
use crate::wire::error::Code;
use crate::wire::monitor::{Monitor, Stream, Watch, WatchKind};
use crate::wire::steering::Steering;
use trimtab_runtime::site::{Site, SiteError};
use trimtab_steering::gate::{Condition, Side};

/// What watches the answers of one request.
#[derive(Debug, Clone)]
pub(crate) struct Monitoring {
    /// What would be asked to be watched the same again.
    pub(crate) written: Monitor,
    /// What the watches look at, in their order.
    pub(crate) looks: Vec<Look>,
    /// What is done to the model once an answer was rewound, where that is something else.
    pub(crate) retry: Option<Lowered>,
}

/// What a watch looks at.
#[derive(Debug, Clone)]
pub(crate) enum Look {
    /// A direction.
    Probe(Condition),
    /// Letters.
    Text,
    /// A policy's principles.
    Coot,
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
            let mut written = asked::settled(asked)?;
            // Whoever does not know that text can be taken back must not be sent such text.
            if !layer.voice.is_body() {
                written.stream = Some(Stream::Hold);
            }
            let mut looks = Vec::with_capacity(written.watch.len());
            for (index, watch) in written.watch.iter().enumerate() {
                let look = look(bench, watch).map_err(|e| e.under(&format!("watch[{index}]")))?;
                looks.push(look);
            }
            Ok(Monitoring { written, looks, retry: None })
        };
        read().map(Some).map_err(|fault| voice.refusal(fault))
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

/// Whose retry it is.
pub(crate) fn retry_voice(layers: &[Layer<'_>]) -> Voice {
    let voice = said(layers).map(|(layer, _)| layer.voice.inside("monitor.retry"));
    voice.unwrap_or_else(|| Voice::Body("steering.monitor.retry".to_owned()))
}

fn look(bench: Bench<'_>, watch: &Watch) -> Result<Look, Fault> {
    match watch.kind {
        WatchKind::Probe => probe(bench, watch).map(Look::Probe),
        WatchKind::Text => Ok(Look::Text),
        // The kinds that are not built have been refused.
        WatchKind::Coot | WatchKind::Cue | WatchKind::Geometry => Ok(Look::Coot),
    }
}

/// The condition of a probe, on a registered vector of either role.
fn probe(bench: Bench<'_>, watch: &Watch) -> Result<Condition, Fault> {
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
    condition.map_err(|error| {
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
