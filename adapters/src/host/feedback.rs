//! What is said about answers, and what came of it.

use crate::rosa::GuardReading;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// One answer of a response.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AnswerRef {
    /// The id that the client was given.
    pub response: String,
    /// Which of its answers.
    pub choice: usize,
}

/// What is said about one answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Remark {
    /// A number from −1 to 1, with a confidence from 0 to 1.
    Reward {
        /// Right or wrong.
        reward: f64,
        /// How sure.
        confidence: f64,
        /// The tokens of the answer that it is about.
        span: Option<Range<usize>>,
    },
    /// A thumb.
    Thumb(Thumb),
    /// What the user typed next, read by the table of phrases.
    Text(String),
    /// The answer as the user rewrote it, in tokens.
    Edited(Vec<u32>),
}

/// A thumb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thumb {
    /// Right.
    Up,
    /// Wrong.
    Down,
}

/// A text from elsewhere that an adapter is to learn from: it was not answered here, or not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignAnswer {
    /// The prompt's tokens.
    pub prompt: Vec<u32>,
    /// The answer's tokens.
    pub tokens: Vec<u32>,
}

/// What an adapter is to be taught.
#[derive(Debug, Clone, PartialEq)]
pub enum Lesson {
    /// A remark about an answer of the adapter that is still kept.
    Remark(AnswerRef, Remark),
    /// One kept answer is better than another of the same adapter.
    Preference {
        /// The better one.
        preferred: AnswerRef,
        /// The worse one.
        rejected: AnswerRef,
    },
    /// A remark about a text from elsewhere, for the adapter of this id.
    ForeignRemark(String, ForeignAnswer, Remark),
    /// One text from elsewhere is better than another, for the adapter of this id.
    ForeignPreference {
        /// The adapter.
        adapter: String,
        /// The better one.
        winner: ForeignAnswer,
        /// The worse one.
        loser: ForeignAnswer,
    },
}

/// What became of a lesson.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum FeedbackStatus {
    /// There is a new version.
    Applied,
    /// A guard, the trust region or a limit said no, or the lesson teaches nothing: the version stays.
    Rejected,
    /// It waits its turn.
    Queued,
}

/// The step of an update, in short.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepSummary {
    /// Mean KL(old‖new) on the answer, nats per token.
    pub kl: f64,
    /// The most it may be.
    pub kl_limit: f64,
    /// Iterations of conjugate gradients.
    pub cg_iterations: usize,
    /// How often the step was shortened.
    pub backtracks: usize,
    /// Length of the parameters after it.
    pub norm: f64,
    /// Mean change of ln p of the answer's tokens, by credit.
    pub log_p_change: f64,
}

/// A learner of tastes after a choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BanditSummary {
    /// Pairs that taught it.
    pub pairs: usize,
    /// Whether this choice is one of them.
    pub updated: bool,
    /// What is wrong with what was learnt, if anything: `position_bias` or `distrusted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// An adapter before and after a lesson.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionChange {
    /// The adapter.
    pub id: String,
    /// The version before.
    pub from: u32,
    /// The version after; the same if nothing was learnt.
    pub version: u32,
}

/// What came of a lesson; it is stored, and given again to a client that says the same again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FeedbackReport {
    /// `feedback`.
    pub object: String,
    /// The id of the lesson, `fb-…`.
    pub id: String,
    /// What became of it.
    pub status: FeedbackStatus,
    /// Why it was rejected: the name of the guard or of the reason.
    pub reason: Option<String>,
    /// Whether the same was said before, and this is the answer of that time.
    pub duplicate: bool,
    /// The adapter.
    pub adapter: VersionChange,
    /// The step, if one was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<StepSummary>,
    /// What the guards measured.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub guards: Vec<GuardReading>,
    /// The learner of tastes, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandit: Option<BanditSummary>,
}
