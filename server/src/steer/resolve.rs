//! From what the server does always, a preset and a request to one plan.
//!
//! The order of application is the order of the layers: server default, preset, request; within a layer it is the order
//! of its list. Nothing that cannot be done as asked is left out: it is refused, at the field of whoever asked for it.

use super::fault::Fault;
use super::monitor::{self, Monitoring};
use super::piece::{Bench, Piece};
use super::resolved::{InForce, Model, Resolved, SiteInForce};
use super::scope::overlap;
use super::shelf::Lock;
use crate::refusal::Refusal;
use crate::wire::error::Code;
use crate::wire::steering::{Conflict, Steering, Vector};
use std::collections::BTreeMap;
use std::sync::Arc;
use trimtab_runtime::hook::Intervention;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;
use trimtab_steering::VectorFile;
use trimtab_steering::compose::dose::{DoseLimit, DosePolicy, Dosed, Doses, Note, Standing};

/// A dose that is above its limit by rounding alone is not above it.
const SLACK: f64 = 1e-6;

/// Whose object a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Voice {
    /// It stands at this path of the body.
    Body(String),
    /// Something of the server's, by its name for people, and the field that named it.
    Server(String, &'static str),
}

/// One of the objects that are put together.
#[derive(Debug, Clone)]
pub(crate) struct Layer<'a> {
    pub(crate) voice: Voice,
    pub(crate) object: &'a Steering,
    /// Whether requests can drop it.
    pub(crate) lock: Lock,
}

impl Voice {
    /// Of a part of its object.
    pub(crate) fn inside(&self, part: &str) -> Voice {
        match self {
            Voice::Body(path) => Voice::Body(format!("{path}.{part}")),
            Voice::Server(name, param) => Voice::Server(format!("{name}: {part}"), param),
        }
    }

    /// Whether it is the request's own.
    pub(crate) fn is_body(&self) -> bool {
        matches!(self, Voice::Body(_))
    }

    pub(crate) fn refusal(&self, fault: Fault) -> Refusal {
        match self {
            Voice::Body(path) => fault.under(path).refusal(),
            Voice::Server(name, param) => fault.refusal_of(name, param),
        }
    }
}

impl Layer<'_> {
    fn refusal(&self, fault: Fault) -> Refusal {
        self.voice.refusal(fault)
    }
}

/// A piece, and where it was asked for.
struct Placed {
    piece: Piece,
    layer: usize,
    index: usize,
}

impl Placed {
    fn refusal(&self, layers: &[Layer<'_>], fault: Fault) -> Refusal {
        let fault = fault.under(&format!("vectors[{}]", self.index));
        match layers.get(self.layer) {
            Some(layer) => layer.refusal(fault),
            None => fault.refusal(),
        }
    }
}

/// Vectors, as something that can be done to the model.
#[derive(Debug, Clone)]
pub(crate) struct Lowered {
    pub(crate) plan: Plan,
    pub(crate) vectors: Vec<InForce>,
    /// Predicted dose of all vectors at each site where it is known beforehand.
    pub(crate) dose: BTreeMap<Site, f64>,
    warnings: Vec<String>,
    /// What would be asked to get the same again, and the number of its layer.
    written: Vec<(usize, Vector)>,
}

/// What layers come to.
pub(crate) fn resolve(bench: Bench<'_>, layers: &[Layer<'_>]) -> Result<Resolved, Refusal> {
    for layer in layers {
        supported(layer.object).map_err(|e| layer.refusal(e))?;
    }
    let Lowered { plan, vectors, dose, mut warnings, written } = lower(bench, layers)?;
    let monitor = monitor(bench, layers)?;
    if let Some(retry) = monitor.as_ref().and_then(|monitor| monitor.retry.as_ref()) {
        let new = retry.warnings.iter().filter(|told| !warnings.contains(told));
        let new: Vec<String> = new.cloned().collect();
        warnings.extend(new);
    }
    let level = last(layers, |object| object.receipt).unwrap_or_default();
    let request = Steering {
        use_default: Some(false),
        vectors: Some(written.into_iter().map(|(_, vector)| vector).collect()),
        conflict: Some(conflict(layers)),
        receipt: Some(level),
        monitor: monitor.as_ref().map(|monitor| monitor.written.clone()),
        ..Steering::default()
    };
    let prompt = bench.prompt.map_or(0, <[u32]>::len);
    Ok(Resolved {
        kv: plan.kv_fingerprint(0..prompt, prompt, bench.frame.spec.n_layers()),
        fingerprint: plan.fingerprint(),
        plan,
        vectors,
        dose,
        warnings,
        request,
        monitor,
        level,
        limit: bench.setup.dose,
        model: Model::of(bench.frame),
    })
}

/// The monitor, with what is done to the model on a retry: the request's vectors, and those of the retry behind them.
fn monitor(bench: Bench<'_>, layers: &[Layer<'_>]) -> Result<Option<Monitoring>, Refusal> {
    let Some(mut monitor) = Monitoring::of(bench, layers)? else {
        return Ok(None);
    };
    if let Some(object) = monitor.retry_vectors() {
        let (voice, lock) = monitor::retry_of(layers);
        let layer = Layer { voice, object: &object, lock };
        let all: Vec<Layer<'_>> = layers.iter().cloned().chain([layer]).collect();
        let retry = lower(bench, &all)?;
        let own = retry.written.iter().filter(|(number, _)| *number == layers.len());
        let own: Vec<Vector> = own.map(|(_, vector)| vector.clone()).collect();
        if let Some(written) = &mut monitor.written.retry {
            written.vectors = Some(own);
        }
        monitor.retry = Some(retry);
    }
    Ok(Some(monitor))
}

fn conflict(layers: &[Layer<'_>]) -> Conflict {
    last(layers, |object| object.conflict).unwrap_or_default()
}

/// The vectors of all layers.
fn lower(bench: Bench<'_>, layers: &[Layer<'_>]) -> Result<Lowered, Refusal> {
    let mut placed = pieces(bench, layers)?;
    if conflict(layers) == Conflict::Error {
        apart(&placed, layers, bench.prompt)?;
    }
    let doses = dosed(bench, &mut placed, layers)?;
    let mut made = Made { items: Vec::new(), vectors: Vec::new() };
    for (number, one) in placed.iter().enumerate() {
        made.push(one, layers, (number, &doses))?;
    }
    let plan = Plan::from_shared(made.items.iter().map(|(item, _)| item.clone()));
    if let Err(error) = plan.bind(&bench.frame.spec) {
        return Err(made.unbound(error, &placed, layers));
    }
    Ok(Lowered {
        plan,
        vectors: made.vectors,
        dose: doses.sites.iter().map(|at| (at.site, at.dose)).collect(),
        warnings: warnings(&placed, &doses.notes),
        written: placed.into_iter().map(|one| (one.layer, one.piece.written)).collect(),
    })
}

/// The last layer that says something has its way.
fn last<T>(layers: &[Layer<'_>], said: impl Fn(&Steering) -> Option<T>) -> Option<T> {
    layers.iter().rev().find_map(|layer| said(layer.object))
}

fn supported(object: &Steering) -> Result<(), Fault> {
    let later = [
        ("adapt", object.adapt.is_some()),
        ("ponder", object.ponder.is_some()),
        ("forecast", object.forecast.is_some()),
    ];
    if let Some((name, _)) = later.into_iter().find(|(_, given)| *given) {
        return Err(Fault::new(Code::UnsupportedField, name, "is not supported yet; leave it out"));
    }
    if object.conflict == Some(Conflict::Priority) {
        let problem = "is priority, which is not supported; use sequential or error";
        return Err(Fault::new(Code::UnsupportedField, "conflict", problem));
    }
    Ok(())
}

fn pieces(bench: Bench<'_>, layers: &[Layer<'_>]) -> Result<Vec<Placed>, Refusal> {
    let limit = bench.setup.vector_limit;
    let mut placed: Vec<Placed> = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let asked = layer.object.vectors.as_deref().unwrap_or_default();
        let all = placed.len() + asked.len();
        if all > limit {
            let problem = format!(
                "makes {all} vectors with those of the server default and the preset, expected at most {limit}"
            );
            return Err(layer.refusal(Fault::value("vectors", problem)));
        }
        for (index, vector) in asked.iter().enumerate() {
            let piece = bench
                .piece(vector, layer.lock)
                .map_err(|e| layer.refusal(e.under(&format!("vectors[{index}]"))))?;
            placed.push(Placed { piece, layer: number, index });
        }
    }
    Ok(placed)
}

/// Refuses two vectors that act on one token at one site.
fn apart(placed: &[Placed], layers: &[Layer<'_>], prompt: Option<&[u32]>) -> Result<(), Refusal> {
    let acting = placed.iter().filter(|one| one.piece.scale != 0.0);
    for (number, second) in acting.clone().enumerate() {
        for first in acting.clone().take(number) {
            let (one, other) = (&first.piece, &second.piece);
            let shared = one.sites.iter().find(|site| other.sites.contains(site));
            let Some(site) = shared.filter(|_| overlap(&one.scope, &other.scope, prompt)) else {
                continue;
            };
            let name = &one.loaded.label;
            let problem =
                format!("acts at {site} on tokens where {name} acts, and conflict is error");
            return Err(second.refusal(layers, Fault::value("", problem)));
        }
    }
    Ok(())
}

/// Holds the vectors to the limits, which may change their scales.
fn dosed(bench: Bench<'_>, placed: &mut [Placed], layers: &[Layer<'_>]) -> Result<Doses, Refusal> {
    let mut files: Vec<VectorFile> = Vec::with_capacity(placed.len());
    for one in placed.iter() {
        files.push(one.piece.dosed_file().map_err(|e| one.refusal(layers, e))?);
    }
    let limit = bench.setup.dose;
    let reckoned = |(one, file)| {
        let (one, file): (&Placed, _) = (one, file);
        let options = trimtab_steering::SteerOptions {
            scale: Some(one.piece.scale),
            ..one.piece.options.clone()
        };
        Dosed { standing: standing(limit, layers.get(one.layer)), ..Dosed::new(file, &options) }
    };
    let vectors: Vec<Dosed<'_>> = placed.iter().zip(&files).map(reckoned).collect();
    let doses = limit.check(&vectors, &bench.frame.norms).map_err(|e| {
        let (whose, fault) = excess(limit, &vectors, &bench.frame.norms, e);
        match whose.and_then(|at| placed.get(at)) {
            Some(one) => one.refusal(layers, fault),
            None => match layers.last() {
                Some(layer) => layer.refusal(fault.under("vectors")),
                None => fault.refusal(),
            },
        }
    })?;
    for (one, scale) in placed.iter_mut().zip(doses.scales()) {
        if *scale != one.piece.scale {
            one.piece.rescaled(*scale);
        }
    }
    Ok(doses)
}

/// Where too much is clamped, a request must not scale a locked default down by what it brings beside it.
fn standing(limit: DoseLimit, layer: Option<&Layer<'_>>) -> Standing {
    match (limit.policy, layer.map(|layer| layer.lock)) {
        (DosePolicy::Clamp, Some(Lock::Locked)) => Standing::Protected,
        (DosePolicy::Clamp | DosePolicy::Refuse | DosePolicy::Warn, _) => Standing::Free,
    }
}

/// The vector that a refused dose belongs to, if it is one vector's, and the fault at its field.
fn excess(
    limit: DoseLimit,
    vectors: &[Dosed<'_>],
    norms: &BTreeMap<Site, f32>,
    error: trimtab_steering::Error,
) -> (Option<usize>, Fault) {
    use trimtab_steering::compose::Error::NoStreamNorm;
    if let trimtab_steering::Error::Compose(inner) = &error
        && let NoStreamNorm { name, .. } = inner.as_ref()
    {
        let at = vectors.iter().position(|vector| vector.file.card().name == *name);
        return (at, Fault::of(error, "id"));
    }
    let told = DoseLimit { policy: DosePolicy::Warn, ..limit }.check(vectors, norms);
    let worst = told.ok().and_then(|doses| {
        let over = doses.vectors.into_iter().filter(|one| one.dose > one.limit * (1.0 + SLACK));
        let worst = over.max_by(|a, b| (a.dose / a.limit).total_cmp(&(b.dose / b.limit)));
        worst.map(|one| one.vector)
    });
    let field = if worst.is_some() { "scale" } else { "" };
    (worst, Fault::of(error, field))
}

fn warnings(placed: &[Placed], notes: &[Note]) -> Vec<String> {
    let of_pieces = placed.iter().flat_map(|one| one.piece.warnings.iter().copied());
    let of_doses = notes.iter().filter_map(|note| match note {
        Note::Clamped { .. } => Some("dose_clamped"),
        Note::Over { .. } => Some("dose_exceeded"),
        Note::Total { .. } => Some("dose_total"),
        Note::OutsideSafe { .. } => Some("scale_outside_safe"),
        Note::NormDrift { .. } => Some("stream_norm_drift"),
        // Nothing is wrong: the receipt has no predicted dose there.
        Note::Unpredicted { .. } => None,
    });
    let mut told: Vec<String> = Vec::new();
    for warning in of_pieces.chain(of_doses) {
        if !told.iter().any(|known| known == warning) {
            told.push(warning.to_owned());
        }
    }
    told
}

/// The interventions made so far, each with the number of its vector.
struct Made {
    items: Vec<(Arc<dyn Intervention>, usize)>,
    vectors: Vec<InForce>,
}

impl Made {
    fn push(
        &mut self,
        one: &Placed,
        layers: &[Layer<'_>],
        (number, doses): (usize, &Doses),
    ) -> Result<(), Refusal> {
        let piece = &one.piece;
        let dose = |site: &Site| {
            let mut all = doses.vectors.iter();
            all.find(|at| at.vector == number && at.site == *site).map(|at| at.dose)
        };
        let mut sites = Vec::with_capacity(piece.sites.len());
        for (steer, acts) in piece.steers().map_err(|e| one.refusal(layers, e))? {
            let (item, shares) = (self.items.len(), acts.len() as u64);
            let at = |site: &Site| SiteInForce { site: *site, item, shares, dose: dose(site) };
            sites.extend(acts.iter().map(at));
            self.items.push((Arc::new(steer), number));
        }
        self.vectors.push(InForce {
            id: piece.loaded.label.clone(),
            sha256: piece.loaded.sha256.clone(),
            operation: piece.operation,
            scale: piece.scale,
            sites,
        });
        Ok(())
    }

    /// The refusal of a plan that the model does not take.
    fn unbound(
        &self,
        error: trimtab_runtime::Error,
        placed: &[Placed],
        layers: &[Layer<'_>],
    ) -> Refusal {
        let trimtab_runtime::Error::CannotAct { index, reason } = &error else {
            return error.into();
        };
        let whose = self.items.get(*index).and_then(|(_, number)| placed.get(*number));
        let fault = Fault::new(Code::EmptySelection, "apply", format!("selects nothing: {reason}"));
        match whose {
            Some(one) => one.refusal(layers, fault),
            None => error.into(),
        }
    }
}
