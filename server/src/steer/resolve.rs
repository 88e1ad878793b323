//! From what the server does always, a preset and a request to one plan.
//!
//! The order of application is the order of the layers: server default, preset, request; within a layer it is the order
//! of its list. Nothing that cannot be done as asked is left out: it is refused, at the field that asked for it.

use super::field_error::FieldError;
use super::monitor::{self, Monitoring};
use super::piece::{self, Bench};
use super::repository::Lock;
use super::resolved::Resolved;
use super::scope::overlap;
use crate::error::ApiError;
use crate::wire::error::Code;
use crate::wire::steering::{Conflict, Steering, Vector};
use std::collections::BTreeMap;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;
use trimtab_steering::Error;
use trimtab_steering::compose::dose::{DoseLimit, DosePolicy, Standing};
use trimtab_steering::receipt::PlanPrints;
use trimtab_steering::stack::{Applied, Stack, StackError, StackVector};

/// Whose object a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LayerSource {
    /// It stands at this path of the body.
    Body(String),
    /// Something of the server's, by its name for people, and the field that named it.
    Server(String, &'static str),
}

/// One of the objects that are put together.
#[derive(Debug, Clone)]
pub(crate) struct Layer<'a> {
    pub(crate) voice: LayerSource,
    pub(crate) object: &'a Steering,
    /// Whether requests can drop it.
    pub(crate) lock: Lock,
}

impl LayerSource {
    /// Of a part of its object.
    pub(crate) fn inside(&self, part: &str) -> LayerSource {
        match self {
            LayerSource::Body(path) => LayerSource::Body(format!("{path}.{part}")),
            LayerSource::Server(name, param) => {
                LayerSource::Server(format!("{name}: {part}"), param)
            }
        }
    }

    /// Whether it is the request's own.
    pub(crate) fn is_body(&self) -> bool {
        matches!(self, LayerSource::Body(_))
    }

    pub(crate) fn refusal(&self, fault: FieldError) -> ApiError {
        match self {
            LayerSource::Body(path) => fault.under(path).refusal(),
            LayerSource::Server(name, param) => fault.refusal_of(name, param),
        }
    }
}

impl Layer<'_> {
    fn refusal(&self, fault: FieldError) -> ApiError {
        self.voice.refusal(fault)
    }
}

/// Where a vector was asked for, and what would be asked to get the same again.
struct Placed {
    layer: usize,
    index: usize,
    written: Vector,
}

impl Placed {
    fn refusal(&self, layers: &[Layer<'_>], fault: FieldError) -> ApiError {
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
    pub(crate) vectors: Vec<Applied>,
    /// Predicted dose of all vectors at each site where it is known beforehand.
    pub(crate) dose: BTreeMap<Site, f64>,
    warnings: Vec<String>,
    /// What would be asked to get the same again, and the number of its layer.
    written: Vec<(usize, Vector)>,
}

/// What layers come to.
pub(crate) fn resolve(bench: Bench<'_>, layers: &[Layer<'_>]) -> Result<Resolved, ApiError> {
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
        prints: PlanPrints::of(&plan, prompt, bench.frame.spec.n_layers()),
        plan,
        vectors,
        dose,
        warnings,
        request,
        monitor,
        level,
        limit: bench.setup.dose,
        model: bench.frame.receipt(),
    })
}

/// The monitor, with what is done to the model on a retry: the request's vectors, and those of the retry behind them.
fn monitor(bench: Bench<'_>, layers: &[Layer<'_>]) -> Result<Option<Monitoring>, ApiError> {
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
fn lower(bench: Bench<'_>, layers: &[Layer<'_>]) -> Result<Lowered, ApiError> {
    let (stack, mut placed) = stack(bench, layers)?;
    if conflict(layers) == Conflict::Error {
        apart(&stack, (&placed, layers), bench.prompt)?;
    }
    let lowered = stack.lower(&bench.frame.norms, &bench.frame.spec);
    let lowered = lowered.map_err(|error| refused(error, &placed, layers))?;
    for (one, vector) in placed.iter_mut().zip(&lowered.applied) {
        one.written.scale = Some(vector.scale);
    }
    Ok(Lowered {
        dose: lowered.site_doses(),
        warnings: lowered.warnings().into_iter().map(str::to_owned).collect(),
        written: placed.into_iter().map(|one| (one.layer, one.written)).collect(),
        plan: lowered.plan,
        vectors: lowered.applied,
    })
}

/// The refusal of a stack, at the field that has to change.
fn refused(error: StackError, placed: &[Placed], layers: &[Layer<'_>]) -> ApiError {
    use trimtab_steering::compose::Error::NoStreamNorm;
    let StackError { vector, source } = error;
    let fault = match *source {
        Error::Runtime(trimtab_runtime::Error::CannotAct { reason, .. }) if vector.is_some() => {
            FieldError::new(Code::EmptySelection, "apply", format!("selects nothing: {reason}"))
        }
        Error::Runtime(error) if vector.is_none() => return error.into(),
        Error::Compose(inner) if matches!(*inner, NoStreamNorm { .. }) => {
            FieldError::of(Error::Compose(inner), "id")
        }
        Error::Compose(inner) => {
            FieldError::of(Error::Compose(inner), if vector.is_some() { "scale" } else { "" })
        }
        source => piece::refused(source),
    };
    match (vector.and_then(|at| placed.get(at)), layers.last()) {
        (Some(one), _) => one.refusal(layers, fault),
        (None, Some(layer)) => layer.refusal(fault.under("vectors")),
        (None, None) => fault.refusal(),
    }
}

/// The last layer that says something has its way.
fn last<T>(layers: &[Layer<'_>], said: impl Fn(&Steering) -> Option<T>) -> Option<T> {
    layers.iter().rev().find_map(|layer| said(layer.object))
}

fn supported(object: &Steering) -> Result<(), FieldError> {
    let later = [
        ("adapt", object.adapt.is_some()),
        ("ponder", object.ponder.is_some()),
        ("forecast", object.forecast.is_some()),
    ];
    if let Some((name, _)) = later.into_iter().find(|(_, given)| *given) {
        return Err(FieldError::new(
            Code::UnsupportedField,
            name,
            "is not supported yet; leave it out",
        ));
    }
    if object.conflict == Some(Conflict::Priority) {
        let problem = "is priority, which is not supported; use sequential or error";
        return Err(FieldError::new(Code::UnsupportedField, "conflict", problem));
    }
    Ok(())
}

/// The vectors of all layers in their order.
fn stack(bench: Bench<'_>, layers: &[Layer<'_>]) -> Result<(Stack, Vec<Placed>), ApiError> {
    let limit = bench.setup.vector_limit;
    let (mut stack, mut placed) = (Stack::new(bench.setup.dose), Vec::new());
    for (number, layer) in layers.iter().enumerate() {
        let asked = layer.object.vectors.as_deref().unwrap_or_default();
        let all = placed.len() + asked.len();
        if all > limit {
            let problem = format!(
                "makes {all} vectors with those of the server default and the preset, expected at most {limit}"
            );
            return Err(layer.refusal(FieldError::value("vectors", problem)));
        }
        for (index, vector) in asked.iter().enumerate() {
            let pushed = bench.piece(vector, layer.lock).and_then(|piece| {
                let standing = standing(bench.setup.dose, layer);
                let vector = StackVector { standing, ..piece.vector };
                stack.push(vector).map_err(piece::refused)?;
                Ok(piece.written)
            });
            let written =
                pushed.map_err(|e| layer.refusal(e.under(&format!("vectors[{index}]"))))?;
            placed.push(Placed { layer: number, index, written });
        }
    }
    Ok((stack, placed))
}

/// Refuses two vectors that act on one token at one site.
fn apart(
    stack: &Stack,
    (placed, layers): (&[Placed], &[Layer<'_>]),
    prompt: Option<&[u32]>,
) -> Result<(), ApiError> {
    let acting = stack.vectors().zip(placed).filter(|(vector, _)| vector.scale() != 0.0);
    let acting: Vec<(&StackVector, &Placed)> = acting.collect();
    for (number, (second, place)) in acting.iter().enumerate() {
        for (first, _) in acting.iter().take(number) {
            let sites = second.sites();
            let shared = first.sites().into_iter().find(|site| sites.contains(site));
            let Some(site) = shared.filter(|_| overlap(first.scope(), second.scope(), prompt))
            else {
                continue;
            };
            let name = &first.id;
            let problem =
                format!("acts at {site} on tokens where {name} acts, and conflict is error");
            return Err(place.refusal(layers, FieldError::value("", problem)));
        }
    }
    Ok(())
}

/// Where too much is clamped, a request must not scale a locked default down by what it brings beside it.
fn standing(limit: DoseLimit, layer: &Layer<'_>) -> Standing {
    match (limit.policy, layer.lock) {
        (DosePolicy::Clamp, Lock::Locked) => Standing::Protected,
        (DosePolicy::Clamp | DosePolicy::Refuse | DosePolicy::Warn, _) => Standing::Free,
    }
}
