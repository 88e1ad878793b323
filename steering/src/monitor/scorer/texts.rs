//! Texts that ship with the judge: what it is calibrated on, and attempts to talk it round.
//!
//! All of it was written for this program; the benign answers are the default model's own, cut anywhere.

use crate::error::{Error, Result};
use serde::Deserialize;
use trimtab_runtime::fingerprint::Fingerprint;

const BENIGN: &str = include_str!("../../../data/monitor/benign.jsonl");
const CONTENT_FREE: &str = include_str!("../../../data/monitor/content_free.txt");
const INJECTIONS: &str = include_str!("../../../data/monitor/injections.jsonl");
/// One text in so many is kept for reports.
const TEST_SHARE: u64 = 5;

/// A request and the beginning of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// What the user asked.
    pub request: String,
    /// The answer so far.
    pub answer: String,
}

/// A text that tries to speak to the judge.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Injection {
    /// What it tries.
    pub kind: String,
    /// The attempt.
    pub text: String,
}

/// What a text is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Setting biases and thresholds.
    Select,
    /// Saying how often they are wrong.
    Test,
}

impl Text {
    /// Which part it belongs to: by a hash, so that a text stays where it is when others come.
    pub fn split(&self) -> Split {
        let hash = Fingerprint::builder("trimtab.benign").text(&self.request).finish().to_u64();
        if hash % TEST_SHARE == 0 { Split::Test } else { Split::Select }
    }

    /// A seed of its own, for the delimiter it is read between.
    pub fn seed(&self) -> u64 {
        let digest = Fingerprint::builder("trimtab.judged").text(&self.request);
        digest.text(&self.answer).finish().to_u64()
    }
}

/// The benign texts of a part.
pub fn benign(split: Split) -> Result<Vec<Text>> {
    let all: Vec<Text> = lines(BENIGN)?;
    Ok(all.into_iter().filter(|text| text.split() == split).collect())
}

/// Texts that say nothing, as request and answer alike.
pub fn content_free() -> Vec<Text> {
    let both = |text: &str| Text { request: text.to_owned(), answer: text.to_owned() };
    CONTENT_FREE.lines().map(both).collect()
}

/// The attempts to talk the judge round.
pub fn injections() -> Result<Vec<Injection>> {
    lines(INJECTIONS)
}

fn lines<T: for<'a> Deserialize<'a>>(text: &str) -> Result<Vec<T>> {
    let parse = |(index, line): (usize, &str)| {
        let wrong = |e: serde_json::Error| Error::Task { line: index + 1, problem: e.to_string() };
        serde_json::from_str(line).map_err(wrong)
    };
    text.lines().enumerate().map(parse).collect()
}
