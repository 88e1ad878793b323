//! What is written beside a version and beside a lesson, as JSON documents.

use super::feedback::FeedbackReport;
use super::versions::RankedArm;
use crate::error::{Error, Result};
use crate::rosa::{GuardReading, JournalEntry};
use crate::store::LessonRow;
use crate::tpop::{DuelOrder, DuelPair, PairLabel, SecondRule, hex};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is known of a version without its state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct VersionDetail {
    pub(super) kl: Option<f64>,
    pub(super) norm: f64,
    pub(super) restores: Option<u32>,
    pub(super) lesson: Option<String>,
    pub(super) said: Option<Value>,
    pub(super) guards: Vec<GuardReading>,
    pub(super) arms: Vec<RankedArm>,
    /// Why it learns nothing at present, as far as that is part of the state.
    pub(super) warning: Option<String>,
}

/// What a lesson did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LessonEntry {
    /// Steps of ROSA, in order, under the version that the lesson led to.
    Steps(Vec<JournalEntry>),
    /// A pair that was judged.
    Pair(PairEntry),
    Nothing,
}

/// A judged pair, without its features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PairEntry {
    pub(super) pair: u64,
    /// Digests of arm a's tokens and arm b's.
    pub(super) answers: [String; 2],
    /// Whether arm a was shown on the left.
    pub(super) a_left: bool,
    pub(super) judgement: String,
    pub(super) weight: f64,
    /// The rule that chose arm b; none of pairs that were not a duel's.
    pub(super) rule: Option<SecondRule>,
    pub(super) propensity: f64,
    pub(super) order_propensity: f64,
    pub(super) contrast: f64,
}

impl PairEntry {
    pub(super) fn of(pair: &DuelPair, rule: Option<SecondRule>, order_propensity: f64) -> Self {
        PairEntry {
            pair: pair.id,
            answers: pair.answers.each_ref().map(|digest| hex(digest)),
            a_left: pair.order == DuelOrder::ALeft,
            judgement: label(pair.judgement).to_owned(),
            weight: pair.weight,
            rule,
            propensity: pair.propensity,
            order_propensity,
            contrast: pair.contrast,
        }
    }
}

fn label(judgement: PairLabel) -> &'static str {
    match judgement {
        PairLabel::A => "a",
        PairLabel::B => "b",
        PairLabel::Tie => "tie",
        PairLabel::Skip => "skip",
        PairLabel::BothBad => "both_bad",
    }
}

/// A value as a document.
pub(super) fn written<T: Serialize>(field: &'static str, value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|source| Error::Document { field, source })
}

/// A document as a value; what cannot be read is damage, since it was written here.
pub(super) fn read<'a, T: Deserialize<'a>>(field: &'static str, text: &'a str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| Error::Damaged { reason: format!("{field}: {error}") })
}

/// The report of a stored lesson, as it is given to a client that says the same again.
pub(super) fn report_again(row: &LessonRow) -> Result<FeedbackReport> {
    let report: FeedbackReport = read("report", &row.report)?;
    Ok(FeedbackReport { duplicate: true, ..report })
}

/// The word that a value is written as.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}
