//! What watches an answer, and what is done when it goes wrong.
//!
//! A watch has the fields of every kind, and which of them belong to its kind is decided where it is resolved, so that a
//! refusal names field and kind.

use super::vector::VectorSpec;
use crate::monitor::guard::{Combine, OnExhausted, Stream};
use crate::monitor::watch::{Cadence, Duty, Then};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The policy of a watch that names none.
pub(super) const DEFAULT_POLICY: &str = "default";

/// What watches an answer. An unknown key, at any depth, is an error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Monitor))]
#[serde(deny_unknown_fields)]
pub struct MonitorSpec {
    /// One to four watches.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 4))]
    pub watch: Vec<WatchSpec>,
    /// Whether one watch that hits is enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub combine: Option<Combine>,
    /// Where an answer is taken up again, and how often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewind: Option<RewindSpec>,
    /// What is different when it is taken up again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetrySpec>,
    /// What becomes of an answer that may not be rewound any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_exhausted: Option<OnExhausted>,
    /// What is said in the place of an answer that is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// When text leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<Stream>,
}

/// One watch. The fields belong to kinds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Watch))]
#[serde(deny_unknown_fields)]
pub struct WatchSpec {
    /// Which fields count.
    pub kind: WatchKind,
    /// What it is called in receipts; otherwise its vector, or its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is done where it hits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<Then>,
    /// Tokens of the answer before the first check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_tokens: Option<u32>,
    /// Of `probe` and `text`: tokens from check to check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<u32>,
    /// Of `probe` and `coot`: hits in a row that count as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<u32>,
    /// Of `probe`: the registered vector whose class coordinate is read. Of `cue`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<String>,
    /// Of `probe`: where it is read; may be left out for a vector of one site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Of `probe`: hits above this class coordinate: 0 is the mean of the negatives, 1 that of the positives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above: Option<f32>,
    /// Of `probe`: hits below this class coordinate. Not together with `above`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<f32>,
    /// Of `text`: texts that must not come, letter for letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub any: Option<Vec<String>>,
    /// Of `text`: regular expressions that must not match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<Vec<String>>,
    /// Of `coot`: who judges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perceiver: Option<PerceiverKind>,
    /// Of `coot`: a policy by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Of `coot`: what becomes of an answer that cannot be judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<Duty>,
    /// Of `coot`: `"sentence"`, or tokens from check to check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cadence: Option<Cadence>,
    /// Of `coot`: nats around the threshold in which it cannot tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin: Option<f32>,
    /// Of `cue`, which is not built yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// Of `geometry`, which is not built yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<u32>,
    /// Of `geometry`, which is not built yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride: Option<u32>,
    /// Of `geometry`, which is not built yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantile: Option<f32>,
}

/// The kinds of watch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WatchKind {
    /// A direction in the stream.
    #[default]
    Probe,
    /// The letters of the answer.
    Text,
    /// The model's own judgement, under a policy.
    #[serde(alias = "policy")]
    Coot,
    /// Not built yet.
    Cue,
    /// Not built yet.
    Geometry,
}

/// Who judges an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PerceiverKind {
    /// Labels are scored.
    #[default]
    Scorer,
    /// A verdict is written and read.
    Parse,
}

/// Where an answer is taken up again, and how often.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Rewind))]
#[serde(deny_unknown_fields)]
pub struct RewindSpec {
    /// By which rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<RewindRule>,
    /// Of `fixed`: so many tokens back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<u32>,
    /// How often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// Tokens that may be taken back in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_discarded: Option<u32>,
    /// Of `sharpness`: what counts as a peak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tau: Option<f32>,
    /// Of `sharpness`: whether the first position is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_sink: Option<bool>,
}

/// By which rule the point is found where an answer is taken up again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RewindRule {
    /// The last point that a check found clean.
    #[default]
    Clean,
    /// The last peak of attention.
    Sharpness,
    /// So many tokens back.
    Fixed,
}

/// What is different when an answer is taken up again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Retry))]
#[serde(deny_unknown_fields)]
pub struct RetrySpec {
    /// Vectors beside those of the request, from there on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vectors: Option<Vec<VectorSpec>>,
    /// What is said to the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guidance: Option<GuidanceKind>,
}

/// What is said to the model when an answer is taken up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum GuidanceKind {
    /// Nothing.
    None,
    /// A note that only the model sees.
    Text,
    /// Not built yet.
    Generated,
    /// The note's meaning, as a push.
    Vector,
}

impl MonitorSpec {
    /// The policies that its watches judge by, in order of their names: the model has to be calibrated for them.
    pub fn policies(&self) -> BTreeSet<&str> {
        self.judges().map(|(_, watch)| watch.policy()).collect()
    }

    /// The watches that judge by a policy, and their places.
    pub(super) fn judges(&self) -> impl Iterator<Item = (usize, &WatchSpec)> {
        self.watch.iter().enumerate().filter(|(_, watch)| watch.kind == WatchKind::Coot)
    }
}

impl WatchSpec {
    /// The name of the policy that it judges by, or would.
    pub(super) fn policy(&self) -> &str {
        self.policy.as_deref().unwrap_or(DEFAULT_POLICY)
    }
}

impl WatchKind {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            WatchKind::Probe => "probe",
            WatchKind::Text => "text",
            WatchKind::Coot => "coot",
            WatchKind::Cue => "cue",
            WatchKind::Geometry => "geometry",
        }
    }
}
