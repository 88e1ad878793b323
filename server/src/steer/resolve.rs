//! From what the server does always, a preset and a request to one plan.
//!
//! The order of application is the order of the layers: server default, preset, request; within a layer it is the order
//! of its list. Nothing that cannot be done as asked is left out: it is refused, at the field that asked for it.

use super::Bench;
use super::layer::{Layer, LayerSource};
use super::repository::Lock;
use super::resolved::Resolved;
use crate::error::ApiError;
use crate::wire::error::Code;
use crate::wire::steering::{Conflict, Steering};
use trimtab_steering::compose::dose::{DoseLimit, DosePolicy, Standing};
use trimtab_steering::monitor::guard::Stream;
use trimtab_steering::receipt::PlanPrints;
use trimtab_steering::spec::{FieldError, MonitorSpec, ResolvedMonitor, VectorSpec};
use trimtab_steering::stack::{Lowered, Stack};

/// Where a vector was asked for, and what would be asked to get the same again.
#[derive(Clone)]
struct Placed {
    layer: usize,
    index: usize,
    spec: VectorSpec,
}

/// The vectors of layers in their order, and where each was asked for.
#[derive(Clone)]
struct Vectors {
    stack: Stack,
    placed: Vec<Placed>,
}

impl Vectors {
    /// The vectors of all layers.
    fn of(bench: Bench<'_>, layers: &[Layer<'_>]) -> Result<Vectors, ApiError> {
        let mut all = Vectors { stack: Stack::new(bench.setup.dose), placed: Vec::new() };
        for (number, layer) in layers.iter().enumerate() {
            all.push(bench, layer, number)?;
        }
        Ok(all)
    }

    /// Puts the vectors of one more layer behind the others.
    fn push(&mut self, bench: Bench<'_>, layer: &Layer<'_>, number: usize) -> Result<(), ApiError> {
        let limit = bench.setup.vector_limit;
        let asked = layer.object.vectors.as_deref().unwrap_or_default();
        let all = self.placed.len() + asked.len();
        if all > limit {
            let problem = format!(
                "makes {all} vectors with those of the server default and the preset, expected at most {limit}"
            );
            return Err(layer.refusal(FieldError::value("vectors", problem)));
        }
        for (index, spec) in asked.iter().enumerate() {
            let mut spec = spec.clone();
            if layer.lock == Lock::Locked {
                // A prompt can talk a model into a tool call, and a locked vector must not rest because of that.
                spec.pause_in.get_or_insert_default();
            }
            let standing = standing(bench.setup.dose, layer);
            let pushed = bench.context().push(&mut self.stack, &spec, standing);
            let spec = pushed.map_err(|e| layer.refusal(e.under(&format!("vectors[{index}]"))))?;
            self.placed.push(Placed { layer: number, index, spec });
        }
        Ok(())
    }

    /// The vectors as they act on the model; beside each its scale is noted.
    fn lower(&mut self, bench: Bench<'_>, layers: &[Layer<'_>]) -> Result<Lowered, ApiError> {
        if conflict(layers) == Conflict::Error
            && let Some((vector, first, site)) = self.stack.meeting(bench.prompt)
        {
            let name = &first.id;
            let problem =
                format!("acts at {site} on tokens where {name} acts, and conflict is error");
            return Err(self.refusal(layers, Some(vector), FieldError::value("", problem)));
        }
        let lowered = bench.context().lower(&self.stack);
        let lowered = lowered.map_err(|(vector, fault)| self.refusal(layers, vector, fault))?;
        for (one, vector) in self.placed.iter_mut().zip(&lowered.applied) {
            one.spec.scale = Some(vector.scale);
        }
        Ok(lowered)
    }

    /// A refusal at a vector, or at the last layer for all of them together.
    fn refusal(&self, layers: &[Layer<'_>], vector: Option<usize>, fault: FieldError) -> ApiError {
        let placed = vector.and_then(|vector| self.placed.get(vector));
        let (layer, part) = match placed {
            Some(one) => (layers.get(one.layer), format!("vectors[{}]", one.index)),
            None => (layers.last(), "vectors".to_owned()),
        };
        match (layer, fault.under(&part)) {
            (Some(layer), fault) => layer.refusal(fault),
            (None, fault) => fault.into(),
        }
    }

    /// What asks for the vectors of some layers again, the first of them by its number.
    fn specs(self, from: usize) -> Vec<VectorSpec> {
        let own = self.placed.into_iter().filter(|one| one.layer >= from);
        own.map(|one| one.spec).collect()
    }
}

/// What layers come to.
pub(crate) fn resolve(bench: Bench<'_>, layers: &[Layer<'_>]) -> Result<Resolved, ApiError> {
    for layer in layers {
        supported(layer).map_err(|e| layer.refusal(e))?;
    }
    let mut vectors = Vectors::of(bench, layers)?;
    let lowered = vectors.lower(bench, layers)?;
    let said = said(layers);
    let voice = match said {
        Some((layer, _)) => layer.voice.inside("monitor"),
        None => LayerSource::Body("steering.monitor".to_owned()),
    };
    let monitor = match said {
        None => None,
        Some((layer, spec)) => {
            let monitor = monitor(bench, layer, spec).map_err(|fault| voice.refusal(fault))?;
            let retry = (voice.inside("retry"), layer.lock);
            Some(with_retry(bench, (&vectors, layers), monitor, retry)?)
        }
    };
    let retry = monitor.as_ref().and_then(|monitor| monitor.retry.as_ref());
    let level = last(layers, |object| object.receipt).unwrap_or_default();
    let request = Steering {
        use_default: Some(false),
        vectors: Some(vectors.specs(0)),
        conflict: Some(conflict(layers)),
        receipt: Some(level),
        monitor: monitor.as_ref().map(|monitor| monitor.spec.clone()),
        adapt: last(layers, |object| object.adapt.clone()),
        ..Steering::default()
    };
    let (prompt, n_layers) = (bench.prompt.map_or(0, <[u32]>::len), bench.frame.spec.n_layers());
    Ok(Resolved {
        prints: PlanPrints::of(&lowered.plan, prompt, n_layers),
        warnings: lowered.warnings(retry),
        lowered,
        request,
        monitor,
        voice,
        level,
        limit: bench.setup.dose,
        model: bench.frame.receipt.clone(),
        n_layers,
    })
}

/// The monitor that counts, and whose it is.
fn said<'a, 'b>(layers: &'b [Layer<'a>]) -> Option<(&'b Layer<'a>, &'a MonitorSpec)> {
    layers.iter().rev().find_map(|layer| Some((layer, layer.object.monitor.as_ref()?)))
}

fn monitor(
    bench: Bench<'_>,
    layer: &Layer<'_>,
    spec: &MonitorSpec,
) -> Result<ResolvedMonitor, FieldError> {
    let mut monitor = bench.context().monitor(spec)?;
    // A client that does not know that text can be taken back must not be sent such text.
    if !layer.voice.is_body() {
        monitor.spec.stream = Some(Stream::Hold);
    }
    Ok(monitor)
}

/// The monitor with what is done to the model on a retry: the request's vectors, and those of the retry behind them.
fn with_retry(
    bench: Bench<'_>,
    (vectors, layers): (&Vectors, &[Layer<'_>]),
    mut monitor: ResolvedMonitor,
    (voice, lock): (LayerSource, Lock),
) -> Result<ResolvedMonitor, ApiError> {
    if monitor.retry_vectors().is_empty() {
        return Ok(monitor);
    }
    // A retry keeps what was run: its vectors act on the answer or not at all.
    let bench = Bench { prompt: Some(&[]), ..bench };
    let own = Some(monitor.retry_vectors().to_vec());
    let object = Steering { vectors: own, ..Steering::default() };
    let layer = Layer { voice, object: &object, lock };
    let mut all = vectors.clone();
    all.push(bench, &layer, layers.len())?;
    let layers: Vec<Layer<'_>> = layers.iter().cloned().chain([layer]).collect();
    let retry = all.lower(bench, &layers)?;
    monitor.retry = Some(retry);
    if let Some(spec) = &mut monitor.spec.retry {
        spec.vectors = Some(all.specs(layers.len() - 1));
    }
    Ok(monitor)
}

fn conflict(layers: &[Layer<'_>]) -> Conflict {
    last(layers, |object| object.conflict).unwrap_or_default()
}

/// The last layer that says something has its way.
fn last<T>(layers: &[Layer<'_>], said: impl Fn(&Steering) -> Option<T>) -> Option<T> {
    layers.iter().rev().find_map(|layer| said(layer.object))
}

fn supported(layer: &Layer<'_>) -> Result<(), FieldError> {
    let object = layer.object;
    let refuse = |name, problem| Err(FieldError::new(Code::UnsupportedField, name, problem));
    match &object.adapt {
        // Adapters belong to keys, and nothing learns unless its own request asks for that.
        Some(_) if !layer.is_requests() => {
            return refuse("adapt", "is for requests only: an adapter belongs to a request's key");
        }
        Some(adapt) => adapt.check().map_err(|fault| fault.under("adapt"))?,
        None => {}
    }
    let later = [("ponder", object.ponder.is_some()), ("forecast", object.forecast.is_some())];
    if let Some((name, _)) = later.into_iter().find(|(_, given)| *given) {
        return refuse(name, "is not supported yet; leave it out");
    }
    if object.conflict == Some(Conflict::Priority) {
        let problem = "is priority, which is not supported; use sequential or error";
        return refuse("conflict", problem);
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
