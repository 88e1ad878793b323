//! What a request says about its monitor, read field by field: ranges, what belongs together, and what is left out.
//!
//! What comes out says everything: it is what a full receipt asks for again, and what guards are made of.

use super::super::field_error::FieldError;
use crate::wire::error::Code;
use crate::wire::monitor::{
    Cadence, Guard, GuidanceKind, Monitor, OnExhausted, Retry, Rewind, RewindRule, Watch, WatchKind,
};
use std::fmt::Display;
use std::ops::RangeInclusive;
use trimtab_steering::monitor::policy::{Caps, Policy};

/// Watches of one request.
const MOST_WATCHES: usize = 4;
/// Letters in a name.
const NAME_LIMIT: usize = 64;
/// Texts and patterns of one watch, and the bytes of each.
const MOST_TEXTS: usize = 64;
const MOST_PATTERNS: usize = 16;
const LONGEST_TEXT: usize = 256;
/// Bytes of what is said in the place of an answer.
const LONGEST_REFUSAL: usize = 2000;
/// What is said unless a request says otherwise.
const REFUSAL: &str = "I can't help with that.";
/// Tokens that `fixed` goes back unless a request says otherwise.
const WINDOW: u32 = 3;

/// A monitor with everything filled in.
pub(crate) fn settled(asked: &Monitor, policy: Option<&Policy>) -> Result<Monitor, FieldError> {
    let count = asked.watch.len();
    if !(1..=MOST_WATCHES).contains(&count) {
        return Err(FieldError::value("watch", expected(count, &(1..=MOST_WATCHES), "watches")));
    }
    let on_exhausted = asked.on_exhausted.unwrap_or_default();
    let mut watches: Vec<Watch> = Vec::with_capacity(count);
    for (index, asked) in asked.watch.iter().enumerate() {
        let at = format!("watch[{index}]");
        let mut watch = self::watch(asked).map_err(|e| e.under(&at))?;
        watch.name = Some(name(asked, &watches).map_err(|e| e.under(&at))?);
        watches.push(watch);
    }
    mandatory(&watches, on_exhausted)?;
    let has_judge = watches.iter().any(|watch| watch.kind == WatchKind::Coot);
    let judging = policy.filter(|_| has_judge);
    // Guidance goes by violated principles, so it is there by default where something judges them.
    let guidance = if has_judge { GuidanceKind::Text } else { GuidanceKind::None };
    let caps = judging.map(|policy| *policy.caps()).unwrap_or_default();
    let usual = judging.map_or(REFUSAL, Policy::refusal);
    Ok(Monitor {
        combine: Some(asked.combine.unwrap_or_default()),
        rewind: Some(rewind(asked.rewind.as_ref(), caps).map_err(|e| e.under("rewind"))?),
        retry: Some(retry(asked.retry.as_ref(), guidance).map_err(|e| e.under("retry"))?),
        on_exhausted: Some(on_exhausted),
        refusal: refusal(asked.refusal.as_deref(), on_exhausted, usual)?,
        stream: Some(asked.stream.unwrap_or_default()),
        watch: watches,
    })
}

/// One watch, but for its name.
fn watch(asked: &Watch) -> Result<Watch, FieldError> {
    known(asked)?;
    let mut watch =
        Watch { kind: asked.kind, then: Some(asked.then.unwrap_or_default()), ..Watch::default() };
    let early = if asked.kind == WatchKind::Text { 0 } else { 8 };
    watch.min_tokens = within("min_tokens", asked.min_tokens, early, 0..=64)?;
    match asked.kind {
        WatchKind::Probe => probe(asked, &mut watch)?,
        WatchKind::Text => text(asked, &mut watch)?,
        WatchKind::Coot => judge(asked, &mut watch)?,
        WatchKind::Cue | WatchKind::Geometry => {}
    }
    Ok(watch)
}

fn probe(asked: &Watch, watch: &mut Watch) -> Result<(), FieldError> {
    watch.every = within("every", asked.every, 1, 1..=64)?;
    watch.patience = within("patience", asked.patience, 1, 1..=5)?;
    if asked.vector.is_none() {
        return Err(FieldError::value("vector", "is missing, and a watch of kind probe needs it"));
    }
    match (asked.above, asked.below) {
        (None, None) => {
            let problem = "is missing, and a watch of kind probe needs it, or below";
            return Err(FieldError::value("above", problem));
        }
        (Some(_), Some(_)) => {
            return Err(FieldError::value("below", "and above are both given; give one of them"));
        }
        (above, below) => (watch.above, watch.below) = (above, below),
    }
    (watch.vector, watch.site) = (asked.vector.clone(), asked.site.clone());
    Ok(())
}

fn text(asked: &Watch, watch: &mut Watch) -> Result<(), FieldError> {
    watch.every = within("every", asked.every, 1, 1..=64)?;
    let texts = |field: &str, texts: &Option<Vec<String>>, most: usize| {
        let texts = texts.clone().unwrap_or_default();
        if texts.len() > most {
            return Err(FieldError::value(field, expected(texts.len(), &(0..=most), "texts")));
        }
        for (index, text) in texts.iter().enumerate() {
            if !(1..=LONGEST_TEXT).contains(&text.len()) {
                let problem = expected(text.len(), &(1..=LONGEST_TEXT), "bytes");
                return Err(FieldError::value(format!("{field}[{index}]"), problem));
            }
        }
        Ok(texts)
    };
    let any = texts("any", &asked.any, MOST_TEXTS)?;
    let regex = texts("regex", &asked.regex, MOST_PATTERNS)?;
    if any.is_empty() && regex.is_empty() {
        let problem = "is empty, and a watch of kind text needs it, or regex";
        return Err(FieldError::value("any", problem));
    }
    (watch.any, watch.regex) = (Some(any), Some(regex));
    Ok(())
}

fn judge(asked: &Watch, watch: &mut Watch) -> Result<(), FieldError> {
    watch.patience = within("patience", asked.patience, 1, 1..=5)?;
    watch.margin = within("margin", asked.margin, 0.5, 0.0..=5.0)?;
    let cadence = asked.cadence.unwrap_or_default();
    if let Cadence::Tokens(tokens) = cadence {
        within("cadence", Some(tokens), 1, 1..=64)?;
    }
    watch.cadence = Some(cadence);
    watch.perceiver = Some(asked.perceiver.unwrap_or_default());
    watch.policy = Some(asked.policy.clone().unwrap_or_else(|| "default".to_owned()));
    watch.guard = Some(asked.guard.unwrap_or_default());
    Ok(())
}

/// Refuses kinds that are not built, and fields that belong to another kind.
fn known(asked: &Watch) -> Result<(), FieldError> {
    use WatchKind::{Coot, Cue, Geometry, Probe, Text};
    if matches!(asked.kind, Cue | Geometry) {
        let problem = format!("is {}, which is not built yet", kind(asked.kind));
        return Err(FieldError::new(Code::UnsupportedField, "kind", problem));
    }
    let fields = [
        ("every", asked.every.is_some(), [Probe, Text]),
        ("patience", asked.patience.is_some(), [Probe, Coot]),
        ("vector", asked.vector.is_some(), [Probe, Cue]),
        ("site", asked.site.is_some(), [Probe, Probe]),
        ("above", asked.above.is_some(), [Probe, Probe]),
        ("below", asked.below.is_some(), [Probe, Probe]),
        ("any", asked.any.is_some(), [Text, Text]),
        ("regex", asked.regex.is_some(), [Text, Text]),
        ("perceiver", asked.perceiver.is_some(), [Coot, Coot]),
        ("policy", asked.policy.is_some(), [Coot, Coot]),
        ("guard", asked.guard.is_some(), [Coot, Coot]),
        ("cadence", asked.cadence.is_some(), [Coot, Coot]),
        ("margin", asked.margin.is_some(), [Coot, Coot]),
        ("max", asked.max.is_some(), [Cue, Cue]),
        ("window", asked.window.is_some(), [Geometry, Geometry]),
        ("stride", asked.stride.is_some(), [Geometry, Geometry]),
        ("quantile", asked.quantile.is_some(), [Geometry, Geometry]),
    ];
    match fields.iter().find(|(_, given, kinds)| *given && !kinds.contains(&asked.kind)) {
        None => Ok(()),
        Some((field, _, kinds)) => {
            let mut of: Vec<&str> = kinds.iter().map(|of| kind(*of)).collect();
            of.dedup();
            let (of, is) = (of.join(" and "), kind(asked.kind));
            Err(FieldError::value(
                *field,
                format!("belongs to {of}, and the watch is of kind {is}"),
            ))
        }
    }
}

/// A kind's name on the wire.
pub(crate) fn kind(kind: WatchKind) -> &'static str {
    match kind {
        WatchKind::Probe => "probe",
        WatchKind::Text => "text",
        WatchKind::Coot => "coot",
        WatchKind::Cue => "cue",
        WatchKind::Geometry => "geometry",
    }
}

/// The name of a watch: its own, or its vector's, or its kind's, and a number where that is taken.
fn name(asked: &Watch, earlier: &[Watch]) -> Result<String, FieldError> {
    let taken = |name: &str| earlier.iter().any(|other| other.name.as_deref() == Some(name));
    if let Some(name) = &asked.name {
        let count = name.chars().count();
        if !(1..=NAME_LIMIT).contains(&count) || name.chars().any(char::is_control) {
            let problem = format!("is no label of 1 to {NAME_LIMIT} characters on one line");
            return Err(FieldError::value("name", problem));
        }
        if taken(name) {
            return Err(FieldError::value("name", "is another watch's too; give each its own"));
        }
        return Ok(name.clone());
    }
    let plain = asked.vector.clone().unwrap_or_else(|| kind(asked.kind).to_owned());
    let numbered = (2..).map(|number| format!("{plain}-{number}"));
    let mut names = [plain.clone()].into_iter().chain(numbered);
    Ok(names.find(|name| !taken(name)).unwrap_or_default())
}

/// Refuses to go on with an answer that a mandatory guard could not be satisfied with.
fn mandatory(watches: &[Watch], on_exhausted: OnExhausted) -> Result<(), FieldError> {
    let is_mandatory = |watch: &Watch| watch.guard == Some(Guard::Mandatory);
    let word = match on_exhausted {
        OnExhausted::Refuse => return Ok(()),
        OnExhausted::Stop => "stop",
        OnExhausted::Keep => "keep",
    };
    match watches.iter().position(is_mandatory) {
        None => Ok(()),
        Some(index) => {
            let problem = format!(
                "is {word}, and watch[{index}] is mandatory; use refuse, or guard advisory there"
            );
            Err(FieldError::value("on_exhausted", problem))
        }
    }
}

fn rewind(asked: Option<&Rewind>, caps: Caps) -> Result<Rewind, FieldError> {
    let asked = asked.cloned().unwrap_or_default();
    let to = asked.to.unwrap_or_default();
    let word = match to {
        RewindRule::Clean => "clean",
        RewindRule::Sharpness => "sharpness",
        RewindRule::Fixed => "fixed",
    };
    let fields = [
        ("window", asked.window.is_some(), RewindRule::Fixed, "fixed"),
        ("tau", asked.tau.is_some(), RewindRule::Sharpness, "sharpness"),
        ("exclude_sink", asked.exclude_sink.is_some(), RewindRule::Sharpness, "sharpness"),
    ];
    if let Some((field, .., of)) = fields.iter().find(|(_, given, of, _)| *given && *of != to) {
        return Err(FieldError::value(*field, format!("belongs to {of}, and the rule is {word}")));
    }
    let discarded = u32::try_from(caps.discarded).unwrap_or(u32::MAX);
    let mut rewind = Rewind {
        to: Some(to),
        max: within("max", asked.max, caps.rewinds, 0..=10)?,
        max_discarded: within("max_discarded", asked.max_discarded, discarded, 0..=4096)?,
        ..Rewind::default()
    };
    match to {
        RewindRule::Clean => {}
        RewindRule::Sharpness => {
            rewind.tau = within("tau", asked.tau, 0.1, 0.0..=2.0)?;
            rewind.exclude_sink = Some(asked.exclude_sink.unwrap_or(true));
        }
        RewindRule::Fixed => rewind.window = within("window", asked.window, WINDOW, 1..=64)?,
    }
    Ok(rewind)
}

fn retry(asked: Option<&Retry>, usual: GuidanceKind) -> Result<Retry, FieldError> {
    let asked = asked.cloned().unwrap_or_default();
    let guidance = asked.guidance.unwrap_or(usual);
    if guidance == GuidanceKind::Generated {
        let problem = "is generated, which is not built yet; none, text and vector are";
        return Err(FieldError::new(Code::UnsupportedField, "guidance", problem));
    }
    Ok(Retry { vectors: asked.vectors, guidance: Some(guidance) })
}

fn refusal(
    asked: Option<&str>,
    on_exhausted: OnExhausted,
    usual: &str,
) -> Result<Option<String>, FieldError> {
    match (asked, on_exhausted) {
        (None, OnExhausted::Refuse) => Ok(Some(usual.to_owned())),
        (None, OnExhausted::Stop | OnExhausted::Keep) => Ok(None),
        (Some(_), OnExhausted::Stop | OnExhausted::Keep) => {
            Err(FieldError::value("refusal", "is never said, because on_exhausted is not refuse"))
        }
        (Some(text), OnExhausted::Refuse) if text.trim().is_empty() => {
            Err(FieldError::value("refusal", "is empty; leave it out for the usual one"))
        }
        (Some(text), OnExhausted::Refuse) if text.len() > LONGEST_REFUSAL => {
            let problem = expected(text.len(), &(1..=LONGEST_REFUSAL), "bytes");
            Err(FieldError::value("refusal", problem))
        }
        (Some(text), OnExhausted::Refuse) => Ok(Some(text.to_owned())),
    }
}

/// A number within its range, or the usual one.
fn within<T: PartialOrd + Display + Copy>(
    field: &str,
    asked: Option<T>,
    usual: T,
    range: RangeInclusive<T>,
) -> Result<Option<T>, FieldError> {
    match asked {
        None => Ok(Some(usual)),
        Some(value) if range.contains(&value) => Ok(Some(value)),
        Some(value) => {
            let problem = format!("is {value}, expected {} to {}", range.start(), range.end());
            Err(FieldError::value(field, problem))
        }
    }
}

fn expected(found: usize, range: &RangeInclusive<usize>, what: &str) -> String {
    format!("has {found} {what}, expected {} to {}", range.start(), range.end())
}
