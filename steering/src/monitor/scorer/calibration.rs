//! What makes a judge's numbers mean something on one build under one policy: biases and thresholds.
//!
//! A bias takes away what a model says of a label whatever it reads: minus the mean score on texts that say nothing. A
//! threshold is where benign texts end: the 98th percentile of their log-odds. Kept as one file for each build, policy
//! and wording, so that a server measures once; a file that is damaged or says something else is never used.

use super::form::{Form, refused};
use super::judge::{Ruling, labels};
use super::measure;
use super::texts::{Split, Text, benign, content_free};
use super::tree::{STATES, Tree, normalised};
use crate::error::{Error, Result};
use crate::file;
use crate::monitor::policy::Policy;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use trimtab_runtime::perplexity::quantile;

/// Changes when the same model, policy and wording would be asked or scored otherwise.
pub const VERSION: u32 = 1;
/// The share of benign texts below the threshold.
const PERCENTILE: f64 = 0.98;
/// The fewest benign texts that a threshold may come from.
const FEWEST: usize = 200;
/// The largest share of benign texts a judge may be unable to judge where it can stop answers.
pub const MOST_UNKNOWN: f64 = 0.10;
/// The most bytes of a file that are read.
const FILE_LIMIT: u64 = 1 << 20;

/// Biases and threshold of one kind of check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// Added to the scores: one for each state, or for each of safety's labels.
    pub biases: Vec<f64>,
    /// Log-odds above which an answer is taken back, give or take the margin.
    pub theta: f64,
    /// Log-odds of benign texts that neither came from.
    pub benign: Vec<f64>,
}

/// What a calibration is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    version: u32,
    build: String,
    policy: String,
    wording: String,
    labels: [[u32; 3]; 3],
}

/// A judge's calibration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    subject: Subject,
    select: usize,
    full: Bound,
    lazy: Bound,
}

impl Subject {
    fn of(form: &Form, policy: &Policy) -> Result<Subject> {
        Ok(Subject {
            version: VERSION,
            build: form.build(),
            policy: policy.judging_digest(),
            wording: form.wording().digest(),
            labels: labels(form)?,
        })
    }

    /// The file's name in the folder of calibrations.
    fn file(&self, folder: &Path) -> Result<PathBuf> {
        let text = serde_json::to_string(self).map_err(|e| refused(e.to_string()))?;
        let key = file::sha256(text.as_bytes());
        Ok(folder.join(format!("scorer-{}.json", key.get(..16).unwrap_or(&key))))
    }
}

impl Bound {
    /// Of benign texts, how many are closer to the threshold than the margin.
    pub fn unknown_rate(&self, margin: f64) -> f64 {
        // Not `<=`: what is not finite is unknown too.
        self.rate(|score| !((score - self.theta).abs() > margin))
    }

    /// Of benign texts, how many are above the threshold by more than the margin.
    pub fn rollback_rate(&self, margin: f64) -> f64 {
        self.rate(|score| score - self.theta > margin)
    }

    fn rate(&self, of: impl Fn(f64) -> bool) -> f64 {
        let hits = self.benign.iter().filter(|score| of(**score)).count();
        hits as f64 / self.benign.len() as f64
    }
}

impl Calibration {
    /// Measures a form's build under a policy. `progress` hears how many texts of how many are read.
    pub fn measure(
        form: &Arc<Form>,
        policy: &Policy,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Calibration> {
        let (select, test) = (benign(Split::Select)?, benign(Split::Test)?);
        if select.len() < FEWEST || test.is_empty() {
            return Err(Error::TooFewPairs {
                what: "benign texts",
                found: select.len(),
                least: FEWEST,
            });
        }
        let empty = content_free();
        let (first, second) = (empty.len(), empty.len() + select.len());
        let count = select.len();
        let texts: Vec<Text> = empty.into_iter().chain(select).chain(test).collect();
        let subject = Subject::of(form, policy)?;
        let total = texts.len();
        let read = measure::read(form, &subject.labels, &texts, &mut |done| progress(done, total))?;
        let trees: Vec<&Tree> = read.iter().map(|reading| &reading.tree).collect();
        let (empty, rest) = trees.split_at(first);
        let (select, test) = rest.split_at(second - first);
        let ruling = Ruling::of(policy);
        let full = Samples { empty, select, test, scores: Tree::scores };
        let lazy = Samples { empty, select, test, scores: |tree| tree.safety.to_vec() };
        let calibration = Calibration {
            subject,
            select: count,
            full: full.bound(|likely| ruling.log_odds(likely)),
            lazy: lazy.bound(|likely| ruling.safety_log_odds(likely)),
        };
        calibration.sound()?;
        Ok(calibration)
    }

    /// One of given numbers.
    #[cfg(test)]
    pub(super) fn of(form: &Form, policy: &Policy, full: Bound, lazy: Bound) -> Calibration {
        let subject = Subject::of(form, policy).unwrap();
        Calibration { subject, select: FEWEST, full, lazy }
    }

    /// From a folder, or measured and left there. A file that cannot be used is measured again.
    pub fn obtain(
        folder: &Path,
        form: &Arc<Form>,
        policy: &Policy,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Calibration> {
        if let Ok(Some(found)) = Calibration::load(folder, form, policy) {
            return Ok(found);
        }
        let measured = Calibration::measure(form, policy, progress)?;
        measured.save(folder)?;
        Ok(measured)
    }

    /// From a folder; `None` if there is none for this build, policy and wording. One that is damaged, or is for
    /// something else than its name says, is an error.
    pub fn load(folder: &Path, form: &Form, policy: &Policy) -> Result<Option<Calibration>> {
        let path = Subject::of(form, policy)?.file(folder)?;
        if !path.exists() {
            return Ok(None);
        }
        let within = |source| Error::In { path: path.clone(), source: Box::new(source) };
        let found = Calibration::parse(&file::read(&path, FILE_LIMIT)?).map_err(within)?;
        found.check(form, policy).map_err(within)?;
        Ok(Some(found))
    }

    /// Writes it into a folder, whole or not at all.
    pub fn save(&self, folder: &Path) -> Result<PathBuf> {
        let path = self.subject.file(folder)?;
        let body = serde_json::to_string(self).map_err(|e| refused(e.to_string()))?;
        let sha256 = file::sha256(body.as_bytes());
        file::write(&path, format!("{}{sha256}{}{body}}}", HEAD, MIDDLE).as_bytes())?;
        Ok(path)
    }

    /// Reads what [`save`](Self::save) wrote. The digest is that of the text, because a number that was read and written
    /// again may differ in its last digit.
    fn parse(bytes: &[u8]) -> Result<Calibration> {
        let damaged = || refused("the calibration is damaged; delete the file to measure again");
        let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
        let rest = text.strip_prefix(HEAD).and_then(|rest| rest.split_once(MIDDLE));
        let (sha256, rest) = rest.ok_or_else(damaged)?;
        let body = rest.strip_suffix('}').ok_or_else(damaged)?;
        if file::sha256(body.as_bytes()) != sha256 {
            return Err(damaged());
        }
        let calibration: Calibration = serde_json::from_str(body).map_err(|_| damaged())?;
        calibration.sound()?;
        Ok(calibration)
    }

    /// Refuses a calibration that was made for something else.
    pub(super) fn check(&self, form: &Form, policy: &Policy) -> Result<()> {
        if self.subject != Subject::of(form, policy)? {
            return Err(refused("the calibration is of another build, policy or wording"));
        }
        self.sound()
    }

    /// Refuses numbers that could only make everything unknown.
    fn sound(&self) -> Result<()> {
        for (bound, length) in [(&self.full, STATES), (&self.lazy, 3)] {
            let finite = bound.biases.iter().chain([&bound.theta]).all(|x| x.is_finite());
            if bound.biases.len() != length || !finite || bound.benign.is_empty() {
                return Err(refused("the calibration has a bias or a threshold that is no number"));
            }
        }
        Ok(())
    }

    /// Of checks that read all twelve nodes.
    pub fn full(&self) -> &Bound {
        &self.full
    }

    /// Of checks that read safety alone.
    pub fn lazy(&self) -> &Bound {
        &self.lazy
    }

    /// How many benign texts the thresholds come from.
    pub fn select(&self) -> usize {
        self.select
    }

    /// The larger of the shares of benign texts that either kind of check cannot judge.
    pub fn unknown_rate(&self, margin: f64) -> f64 {
        self.full.unknown_rate(margin).max(self.lazy.unknown_rate(margin))
    }

    /// Whether it may stop answers: a judge that cannot judge must not be mandatory.
    pub fn allows_mandatory(&self, margin: f64) -> bool {
        self.unknown_rate(margin) <= MOST_UNKNOWN
    }
}

const HEAD: &str = "{\"sha256\":\"";
const MIDDLE: &str = "\",\"calibration\":";

/// Readings by what they are for, and how a reading is scored.
struct Samples<'a> {
    empty: &'a [&'a Tree],
    select: &'a [&'a Tree],
    test: &'a [&'a Tree],
    scores: fn(&Tree) -> Vec<f64>,
}

impl Samples<'_> {
    fn bound(&self, log_odds: impl Fn(&[f64]) -> f64) -> Bound {
        let biases = self.biases();
        let odds = |tree: &&Tree| log_odds(&normalised(&(self.scores)(tree), &biases));
        let mut select: Vec<f64> = self.select.iter().map(odds).collect();
        select.sort_unstable_by(f64::total_cmp);
        let benign = self.test.iter().map(odds).map(rounded).collect();
        Bound { theta: rounded(quantile(&select, PERCENTILE)), benign, biases }
    }

    /// Minus the mean score on texts that say nothing.
    // [texts, n] -> [n]
    fn biases(&self) -> Vec<f64> {
        let mut sums: Vec<f64> = Vec::new();
        for scores in self.empty.iter().map(|tree| (self.scores)(tree)) {
            sums.resize(scores.len(), 0.0);
            sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum -= score);
        }
        sums.into_iter().map(|sum| rounded(sum / self.empty.len() as f64)).collect()
    }
}

/// Nine decimals: so few digits are read from JSON exactly as they were written, so that a calibration from a file gives
/// the same verdicts as the one that was measured.
fn rounded(x: f64) -> f64 {
    (x * 1e9).round() / 1e9
}
