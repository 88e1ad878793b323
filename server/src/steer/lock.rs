//! What a locked default keeps requests from, and what its operator should know about it.
//!
//! A lock on `use_default` alone would hold nothing: the same vector with the opposite sign takes a push back, and a
//! projection takes a direction out. So under a lock a request brings no vectors of its own, wherever they stand in it,
//! but those that the operator allows by name, and these do what their files say. It brings no adapter either. Presets stay:
//! the operator wrote them.
//!
//! It does not hold against words: a prompt, a banned token or a monitor of the request's own can still argue with what
//! the default pushes towards.

use super::Bench;
use super::registry::State;
use super::repository::Lock;
use crate::error::ApiError;
use crate::wire::error::Code;
use crate::wire::steering::Steering;
use std::sync::Arc;
use trimtab_steering::file::card::Operation;
use trimtab_steering::ops::Rescale;
use trimtab_steering::spec::{
    FieldError, GuidanceKind, LoadedVector, VectorLookup, VectorOrigin, VectorSpec, not_registered,
};

/// Beyond this cosine, one direction is told to overlap another. Two random ones of 576 numbers are rarely beyond 0.15.
const OVERLAP: f64 = 0.2;

/// What a request and the preset it names say, and the default.
pub(super) struct Claim<'a> {
    pub(super) asked: Option<&'a Steering>,
    pub(super) preset: Option<&'a Steering>,
    pub(super) default: Option<&'a Steering>,
    /// Whether the default is wanted, where that is said.
    pub(super) use_default: Option<bool>,
}

/// Refuses what would undo a locked default.
pub(super) fn hold(state: &State, claim: &Claim<'_>) -> Result<(), ApiError> {
    match state.settings.lock {
        Lock::Open => Ok(()),
        Lock::Locked => held(state, claim).map_err(|fault| fault.under("steering").into()),
    }
}

fn held(state: &State, claim: &Claim<'_>) -> Result<(), FieldError> {
    if claim.use_default == Some(false) {
        let problem = "is false, and the operator has locked the server default";
        return Err(FieldError::new(Code::DefaultLocked, "use_default", problem));
    }
    let watches = |object: Option<&Steering>| object.is_some_and(|o| o.monitor.is_some());
    let field = match (watches(claim.asked), watches(claim.preset)) {
        (true, _) => Some("monitor"),
        // A preset is the operator's, but which one is the client's choice.
        (false, true) => Some("preset"),
        (false, false) => None,
    };
    if let Some(field) = field.filter(|_| watches(claim.default)) {
        let problem =
            "would take the place of the server default's monitor, which the operator has locked";
        return Err(FieldError::new(Code::DefaultLocked, field, problem));
    }
    claim.asked.map_or(Ok(()), |asked| brings_nothing(state, asked))
}

/// Refuses a request's own vectors, those behind a rewind too, and its adapter: what it has learnt, or the settings that it
/// chooses between, could push against the default.
fn brings_nothing(state: &State, asked: &Steering) -> Result<(), FieldError> {
    if asked.adapt.is_some() {
        let problem = "is given, and an adapter could learn to undo the server default, which the operator has locked; leave it out";
        return Err(FieldError::new(Code::DefaultLocked, "adapt", problem));
    }
    all_allowed(state, &asked.vectors).map_err(|e| e.under("vectors"))?;
    let Some(retry) = asked.monitor.as_ref().and_then(|monitor| monitor.retry.as_ref()) else {
        return Ok(());
    };
    all_allowed(state, &retry.vectors).map_err(|e| e.under("monitor.retry.vectors"))?;
    if retry.guidance == Some(GuidanceKind::Vector) {
        let problem = "is vector, a push beside the server default, which the operator has locked; use text or none";
        return Err(FieldError::new(Code::DefaultLocked, "monitor.retry.guidance", problem));
    }
    Ok(())
}

fn all_allowed(state: &State, vectors: &Option<Vec<VectorSpec>>) -> Result<(), FieldError> {
    let mut numbered = vectors.iter().flatten().enumerate();
    numbered.try_for_each(|(index, vector)| {
        allowed(state, vector).map_err(|e| e.under(&format!("[{index}]")))
    })
}

/// Refuses a vector that the operator does not allow, or allows and not in this way.
fn allowed(state: &State, vector: &VectorSpec) -> Result<(), FieldError> {
    let (field, name) = match vector.origin()? {
        VectorOrigin::Id(id) if state.settings.allow.iter().any(|allowed| allowed == id) => {
            return as_filed(state, id, vector);
        }
        VectorOrigin::Id(id) => ("id", format!("{id:?}")),
        VectorOrigin::Source(source) => ("source", format!("{source:?}")),
        VectorOrigin::Inline(_) => ("inline", "the request's own".to_owned()),
    };
    let allow = match state.settings.allow.as_slice() {
        [] => "none".to_owned(),
        some => some.join(", "),
    };
    let problem = format!(
        "is {name}, and the operator has locked the server default: a request may bring only vectors of the allow list \
         ({allow}); leave it out, or have it put on that list with PUT /v1/steering"
    );
    Err(FieldError::new(Code::DefaultLocked, field, problem))
}

/// Refuses to do anything else with an allowed vector than its file says: what the operator looked at was that.
fn as_filed(state: &State, id: &str, vector: &VectorSpec) -> Result<(), FieldError> {
    let loaded = state.vectors.get(id).ok_or_else(|| not_registered("id", id))?;
    let own = loaded.file.card().operation;
    let field = match vector.operation(own)? {
        Some(other) if other != own => "op",
        _ if vector.rescale == Some(Rescale::KeepNorm) => "rescale",
        _ => return Ok(()),
    };
    let problem = "is given, and under a locked server default an allowed vector does what its file says; leave it out";
    Err(FieldError::new(Code::DefaultLocked, field, problem))
}

/// What an operator should know about a lock: everything that requests may still reach and that could weaken it.
pub(super) fn warnings(bench: Bench<'_>) -> Vec<String> {
    let settings = &bench.state.settings;
    if settings.lock == Lock::Open {
        return Vec::new();
    }
    let Some(default) = &settings.default else {
        return vec![
            "locked: there is no default; requests bring no vectors, and nothing else is locked"
                .to_owned(),
        ];
    };
    let kept = directions(bench, default);
    let mut told = Vec::new();
    for id in &settings.allow {
        let named = VectorSpec { id: Some(id.clone()), ..VectorSpec::default() };
        told.extend(weakness(bench, &named, &kept).map(|what| format!("allow: {what}")));
    }
    for (name, object) in &settings.presets {
        let vectors = acting(object);
        let found = vectors.iter().filter_map(|vector| weakness(bench, vector, &kept));
        told.extend(found.map(|what| format!("presets.{name}: {what}")));
    }
    told.dedup();
    told
}

/// The vectors that act under an object, those behind a rewind too.
fn acting(object: &Steering) -> Vec<VectorSpec> {
    let retry = object.monitor.as_ref().and_then(|monitor| monitor.retry.as_ref());
    let retry = retry.and_then(|retry| retry.vectors.as_ref());
    object.vectors.iter().chain(retry).flatten().cloned().collect()
}

/// Everything a default pushes along or looks at.
fn directions(bench: Bench<'_>, default: &Steering) -> Vec<Arc<LoadedVector>> {
    let acting = acting(default);
    let gates = acting.iter().filter_map(|vector| vector.gate.as_ref()?.vector.clone());
    let watches = default.monitor.iter().flat_map(|monitor| &monitor.watch);
    let read = gates.chain(watches.filter_map(|watch| watch.vector.clone()));
    let read = read.filter_map(|id| bench.state.vectors.get(&id).cloned());
    acting.iter().filter_map(|vector| file(bench, vector)).chain(read).collect()
}

fn file(bench: Bench<'_>, vector: &VectorSpec) -> Option<Arc<LoadedVector>> {
    bench.find(vector.origin().ok()?).ok()
}

/// How a vector could take back what the default does, if it could.
fn weakness(bench: Bench<'_>, vector: &VectorSpec, kept: &[Arc<LoadedVector>]) -> Option<String> {
    let loaded = file(bench, vector)?;
    let own = loaded.file.card().operation;
    let operation = vector.operation(own).ok().flatten().unwrap_or(own);
    let name = &loaded.label;
    if operation != Operation::Add {
        let op = operation.kind();
        return Some(format!(
            "vector {name} is no plain addition ({op}); it can take out what the locked default puts in"
        ));
    }
    let overlaps = kept.iter().map(|other| (other, cosine(&loaded, other)));
    let (other, cosine) = overlaps.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))?;
    (cosine.abs() > OVERLAP).then(|| {
        format!(
            "vector {name} overlaps {} of the locked default (cosine {cosine:.2}); it can push against it",
            other.label
        )
    })
}

/// The cosine furthest from 0 between any rows of two files. Blocks do not matter, since all write into one stream.
fn cosine(one: &LoadedVector, other: &LoadedVector) -> f64 {
    let rows = |loaded: &'_ LoadedVector| -> Vec<Vec<f32>> {
        let rows = loaded.file.directions().iter().flat_map(|direction| direction.rows());
        rows.map(<[f32]>::to_vec).collect()
    };
    let (ours, theirs) = (rows(one), rows(other));
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    let pairs = ours.iter().flat_map(|a| theirs.iter().map(move |b| dot(a, b)));
    pairs.max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or_default()
}
