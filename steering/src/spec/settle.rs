//! A monitor with everything filled in: ranges, what belongs together, and what is left out.
//!
//! What comes out says everything: it is what a full receipt asks for again, and what guards are made of.

use super::fields::NAME_LIMIT;
use super::monitor::{
    GuidanceKind, MonitorSpec, RetrySpec, RewindRule, RewindSpec, WatchKind, WatchSpec,
};
use super::refusal::{Belonging, FieldError, strays, word};
use crate::monitor::guard::{MOST_WATCHES, OnExhausted, REFUSAL};
use crate::monitor::policy::{Caps, Policy};
use crate::monitor::watch::{Cadence, Duty};
use std::fmt::Display;
use std::ops::RangeInclusive;

/// Texts and patterns of one watch, and the bytes of each.
const MOST_TEXTS: usize = 64;
const MOST_PATTERNS: usize = 16;
const LONGEST_TEXT: usize = 256;
/// Bytes of what is said in the place of an answer.
const LONGEST_REFUSAL: usize = 2000;
/// Tokens that `fixed` goes back unless a specification says otherwise.
const WINDOW: u32 = 3;

impl MonitorSpec {
    /// The same with everything filled in, under the policy of its first watch that judges, or the usual one.
    pub(super) fn settled(&self, policy: Option<&Policy>) -> Result<MonitorSpec, FieldError> {
        let count = self.watch.len();
        counted("watch", count, 1..=MOST_WATCHES, "watches")?;
        let on_exhausted = self.on_exhausted.unwrap_or_default();
        let mut watches: Vec<WatchSpec> = Vec::with_capacity(count);
        for (index, asked) in self.watch.iter().enumerate() {
            let watch = asked.settled(&watches);
            watches.push(watch.map_err(|e| e.under(&format!("watch[{index}]")))?);
        }
        mandatory(&watches, on_exhausted)?;
        let judging = policy.filter(|_| self.judges().next().is_some());
        // Guidance goes by violated principles, so it is there by default where something judges them.
        let guidance = match self.judges().next() {
            Some(_) => GuidanceKind::Text,
            None => GuidanceKind::None,
        };
        let caps = judging.map(|policy| *policy.caps()).unwrap_or_default();
        let rewind = self.rewind.clone().unwrap_or_default().settled(caps);
        let retry = self.retry.clone().unwrap_or_default().settled(guidance);
        Ok(MonitorSpec {
            combine: Some(self.combine.unwrap_or_default()),
            rewind: Some(rewind.map_err(|e| e.under("rewind"))?),
            retry: Some(retry.map_err(|e| e.under("retry"))?),
            on_exhausted: Some(on_exhausted),
            refusal: self.said(on_exhausted, judging.map_or(REFUSAL, Policy::refusal))?,
            stream: Some(self.stream.unwrap_or_default()),
            watch: watches,
        })
    }

    /// What is said in the place of an answer.
    fn said(&self, on_exhausted: OnExhausted, usual: &str) -> Result<Option<String>, FieldError> {
        match (self.refusal.as_deref(), on_exhausted) {
            (None, OnExhausted::Refuse) => Ok(Some(usual.to_owned())),
            (None, OnExhausted::Stop | OnExhausted::Keep) => Ok(None),
            (Some(_), OnExhausted::Stop | OnExhausted::Keep) => {
                let problem = "is never said, because on_exhausted is not refuse";
                Err(FieldError::value("refusal", problem))
            }
            (Some(text), OnExhausted::Refuse) if text.trim().is_empty() => {
                Err(FieldError::value("refusal", "is empty; leave it out for the usual one"))
            }
            (Some(text), OnExhausted::Refuse) => {
                counted("refusal", text.len(), 1..=LONGEST_REFUSAL, "bytes")?;
                Ok(Some(text.to_owned()))
            }
        }
    }
}

impl WatchSpec {
    fn settled(&self, earlier: &[WatchSpec]) -> Result<WatchSpec, FieldError> {
        self.check_kind()?;
        let mut watch = WatchSpec {
            kind: self.kind,
            then: Some(self.then.unwrap_or_default()),
            name: Some(self.called(earlier)?),
            ..WatchSpec::default()
        };
        let early = if self.kind == WatchKind::Text { 0 } else { 8 };
        watch.min_tokens = within("min_tokens", self.min_tokens, early, 0..=64)?;
        if matches!(self.kind, WatchKind::Probe | WatchKind::Text) {
            watch.every = within("every", self.every, 1, 1..=64)?;
        }
        if matches!(self.kind, WatchKind::Probe | WatchKind::Coot) {
            watch.patience = within("patience", self.patience, 1, 1..=5)?;
        }
        match self.kind {
            WatchKind::Probe => self.settle_probe(&mut watch)?,
            WatchKind::Text => self.settle_texts(&mut watch)?,
            WatchKind::Coot => self.settle_judge(&mut watch)?,
            WatchKind::Cue | WatchKind::Geometry => {}
        }
        Ok(watch)
    }

    fn settle_probe(&self, watch: &mut WatchSpec) -> Result<(), FieldError> {
        let needed = "is missing, and a watch of kind probe needs it";
        if self.vector.is_none() {
            return Err(FieldError::value("vector", needed));
        }
        match (self.above, self.below) {
            (None, None) => {
                return Err(FieldError::value("above", format!("{needed}, or below")));
            }
            (Some(_), Some(_)) => {
                let problem = "and above are both given; give one of them";
                return Err(FieldError::value("below", problem));
            }
            (above, below) => (watch.above, watch.below) = (above, below),
        }
        (watch.vector, watch.site) = (self.vector.clone(), self.site.clone());
        Ok(())
    }

    fn settle_texts(&self, watch: &mut WatchSpec) -> Result<(), FieldError> {
        let texts = |field: &str, texts: &Option<Vec<String>>, most: usize| {
            let texts = texts.clone().unwrap_or_default();
            counted(field, texts.len(), 0..=most, "texts")?;
            for (index, text) in texts.iter().enumerate() {
                counted(&format!("{field}[{index}]"), text.len(), 1..=LONGEST_TEXT, "bytes")?;
            }
            Ok(texts)
        };
        let any = texts("any", &self.any, MOST_TEXTS)?;
        let regex = texts("regex", &self.regex, MOST_PATTERNS)?;
        if any.is_empty() && regex.is_empty() {
            let problem = "is empty, and a watch of kind text needs it, or regex";
            return Err(FieldError::value("any", problem));
        }
        (watch.any, watch.regex) = (Some(any), Some(regex));
        Ok(())
    }

    fn settle_judge(&self, watch: &mut WatchSpec) -> Result<(), FieldError> {
        watch.margin = within("margin", self.margin, 0.5, 0.0..=5.0)?;
        let cadence = self.cadence.unwrap_or_default();
        if let Cadence::Tokens(tokens) = cadence {
            within("cadence", Some(tokens), 1, 1..=64)?;
        }
        watch.cadence = Some(cadence);
        watch.perceiver = Some(self.perceiver.unwrap_or_default());
        watch.policy = Some(self.policy().to_owned());
        watch.guard = Some(self.guard.unwrap_or_default());
        Ok(())
    }

    /// Refuses kinds that are not built, and fields that belong to another kind.
    fn check_kind(&self) -> Result<(), FieldError> {
        use WatchKind::{Coot, Cue, Geometry, Probe, Text};
        if matches!(self.kind, Cue | Geometry) {
            let problem = format!("is {}, which is not built yet", self.kind.as_str());
            return Err(FieldError::new("unsupported_field", "kind", problem));
        }
        let fields: [Belonging<'_, WatchKind>; 17] = [
            ("every", self.every.is_some(), &[Probe, Text]),
            ("patience", self.patience.is_some(), &[Probe, Coot]),
            ("vector", self.vector.is_some(), &[Probe, Cue]),
            ("site", self.site.is_some(), &[Probe]),
            ("above", self.above.is_some(), &[Probe]),
            ("below", self.below.is_some(), &[Probe]),
            ("any", self.any.is_some(), &[Text]),
            ("regex", self.regex.is_some(), &[Text]),
            ("perceiver", self.perceiver.is_some(), &[Coot]),
            ("policy", self.policy.is_some(), &[Coot]),
            ("guard", self.guard.is_some(), &[Coot]),
            ("cadence", self.cadence.is_some(), &[Coot]),
            ("margin", self.margin.is_some(), &[Coot]),
            ("max", self.max.is_some(), &[Cue]),
            ("window", self.window.is_some(), &[Geometry]),
            ("stride", self.stride.is_some(), &[Geometry]),
            ("quantile", self.quantile.is_some(), &[Geometry]),
        ];
        strays(&fields, self.kind, "watch is of kind")
    }

    /// The name of a watch: its own, or its vector's, or its kind's, and a number where that is taken.
    fn called(&self, earlier: &[WatchSpec]) -> Result<String, FieldError> {
        let taken = |name: &str| earlier.iter().any(|other| other.name.as_deref() == Some(name));
        if let Some(name) = &self.name {
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
        let plain = self.vector.clone().unwrap_or_else(|| self.kind.as_str().to_owned());
        let numbered = (2..).map(|number| format!("{plain}-{number}"));
        let mut names = [plain.clone()].into_iter().chain(numbered);
        Ok(names.find(|name| !taken(name)).unwrap_or_default())
    }
}

impl RewindSpec {
    fn settled(self, caps: Caps) -> Result<RewindSpec, FieldError> {
        let to = self.to.unwrap_or_default();
        let fields: [Belonging<'_, RewindRule>; 3] = [
            ("window", self.window.is_some(), &[RewindRule::Fixed]),
            ("tau", self.tau.is_some(), &[RewindRule::Sharpness]),
            ("exclude_sink", self.exclude_sink.is_some(), &[RewindRule::Sharpness]),
        ];
        strays(&fields, to, "rule is")?;
        let discarded = u32::try_from(caps.discarded).unwrap_or(u32::MAX);
        let mut rewind = RewindSpec {
            to: Some(to),
            max: within("max", self.max, caps.rewinds, 0..=10)?,
            max_discarded: within("max_discarded", self.max_discarded, discarded, 0..=4096)?,
            ..RewindSpec::default()
        };
        match to {
            RewindRule::Clean => {}
            RewindRule::Sharpness => {
                rewind.tau = within("tau", self.tau, 0.1, 0.0..=2.0)?;
                rewind.exclude_sink = Some(self.exclude_sink.unwrap_or(true));
            }
            RewindRule::Fixed => rewind.window = within("window", self.window, WINDOW, 1..=64)?,
        }
        Ok(rewind)
    }
}

impl RetrySpec {
    fn settled(self, usual: GuidanceKind) -> Result<RetrySpec, FieldError> {
        let guidance = self.guidance.unwrap_or(usual);
        if guidance == GuidanceKind::Generated {
            let problem = "is generated, which is not built yet; none, text and vector are";
            return Err(FieldError::new("unsupported_field", "guidance", problem));
        }
        Ok(RetrySpec { guidance: Some(guidance), ..self })
    }
}

/// Refuses to go on with an answer that a mandatory guard could not be satisfied with.
fn mandatory(watches: &[WatchSpec], on_exhausted: OnExhausted) -> Result<(), FieldError> {
    let is_mandatory = |watch: &WatchSpec| watch.guard == Some(Duty::Mandatory);
    match watches.iter().position(is_mandatory) {
        Some(index) if on_exhausted != OnExhausted::Refuse => {
            let problem = format!(
                "is {}, and watch[{index}] is mandatory; use refuse, or guard advisory there",
                word(&on_exhausted)
            );
            Err(FieldError::value("on_exhausted", problem))
        }
        _ => Ok(()),
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

/// Refuses too few or too many of something.
fn counted(
    field: &str,
    count: usize,
    range: RangeInclusive<usize>,
    what: &str,
) -> Result<(), FieldError> {
    if range.contains(&count) {
        return Ok(());
    }
    let problem = format!("has {count} {what}, expected {} to {}", range.start(), range.end());
    Err(FieldError::value(field, problem))
}
