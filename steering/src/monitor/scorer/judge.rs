//! A calibrated judge: what all answers share of it.

use super::calibration::{Bound, Calibration};
use super::check::Scorer;
use super::form::{Form, refused};
use super::measure;
use super::quote::Quote;
use super::texts::Text;
use super::tree::{Tree, VALUES, log_odds, normalised, states};
use super::walk::{Depth, Labels};
use crate::error::Result;
use crate::monitor::detect::{Action, Finding};
use crate::monitor::policy::{Policy, State};
use std::sync::Arc;
use trimtab_runtime::text::Special;

/// How far from its threshold a score must be, in nats, where nothing else is said.
pub const MARGIN: f64 = 0.5;

/// How a judge is used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judging {
    /// How much a check reads.
    pub depth: Depth,
    /// How far from the threshold a score must be, in nats.
    pub margin: f64,
}

impl Default for Judging {
    fn default() -> Self {
        Judging { depth: Depth::Lazy, margin: MARGIN }
    }
}

/// A model that judges under a policy, calibrated.
#[derive(Debug)]
pub struct Judge {
    pub(super) form: Arc<Form>,
    pub(super) labels: Labels,
    ruling: Ruling,
    calibration: Calibration,
    judging: Judging,
}

/// What a policy says about each of the twenty states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ruling {
    actions: Vec<Action>,
    /// What a check must read to decide on a rewind.
    least: Depth,
}

/// What the model said about one text, before any bias or threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub(super) tree: Tree,
}

impl Reading {
    /// Log-probabilities of the labels of safety: satisfied, undecided, violated.
    pub fn safety(&self) -> [f64; 3] {
        self.tree.safety
    }

    /// Scores of the twenty states, without biases.
    pub fn scores(&self) -> Vec<f64> {
        self.tree.scores()
    }
}

impl Ruling {
    pub fn of(policy: &Policy) -> Ruling {
        let needs = policy.needs();
        Ruling {
            actions: states().into_iter().map(|state| policy.action(state)).collect(),
            least: if needs.rollback_is_decided_by_the_first() { Depth::Lazy } else { Depth::Full },
        }
    }

    /// Log-odds of a rewind, from the log-probabilities of the twenty states.
    pub fn log_odds(&self, log_probabilities: &[f64]) -> f64 {
        log_odds(log_probabilities, |index| self.actions.get(index) == Some(&Action::Rollback))
    }

    /// The same from those of safety's three values, the other axes undecided.
    pub fn safety_log_odds(&self, log_probabilities: &[f64]) -> f64 {
        log_odds(log_probabilities, |index| self.undecided(index) == Action::Rollback)
    }

    /// What is done at a value of safety with the other axes undecided.
    fn undecided(&self, index: usize) -> Action {
        let wanted = VALUES.get(index).map(|safety| State([*safety, 0, 0]));
        let mut each = states().into_iter().zip(&self.actions);
        each.find(|(state, _)| Some(*state) == wanted).map_or(Action::Unknown, |(_, a)| *a)
    }
}

impl Judge {
    /// A judge on a form. A calibration made for another build, policy or wording is refused.
    pub fn new(
        form: Arc<Form>,
        policy: &Policy,
        calibration: Calibration,
        judging: Judging,
    ) -> Result<Arc<Judge>> {
        let labels = labels(&form)?;
        calibration.check(&form, policy)?;
        let ruling = Ruling::of(policy);
        Ok(Arc::new(Judge { form, labels, ruling, calibration, judging }))
    }

    /// The calibration in force.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// The form it fills in.
    pub fn form(&self) -> &Arc<Form> {
        &self.form
    }

    /// Watches the answer to a request; the seed decides the delimiter.
    pub fn scorer(self: &Arc<Judge>, request: &str, seed: u64) -> Result<Scorer> {
        let quote = Quote::open(&self.form, request, seed)?;
        Ok(Scorer::new(self.clone(), quote))
    }

    /// Reads texts that are complete, many at once, all twelve nodes each. `progress` hears how many are done.
    pub fn read(&self, texts: &[Text], progress: &mut dyn FnMut(usize)) -> Result<Vec<Reading>> {
        measure::read(&self.form, &self.labels, texts, progress)
    }

    /// What a check of this depth makes of a reading.
    pub fn find(&self, reading: &Reading, depth: Depth) -> Finding {
        self.verdict(&reading.tree, depth)
    }

    /// Probabilities of the twenty states, in the order of [`super::states`].
    pub fn probabilities(&self, reading: &Reading) -> Vec<f64> {
        let scores = normalised(&reading.scores(), &self.calibration.full().biases);
        scores.into_iter().map(f64::exp).collect()
    }

    /// How deep the next check goes, after so many.
    pub(super) fn depth(&self, checks: usize) -> Depth {
        let audit = (checks + 1).is_multiple_of(4);
        match self.judging.depth {
            Depth::Lazy if !audit => self.ruling.least,
            Depth::Lazy | Depth::Full => Depth::Full,
        }
    }

    pub(super) fn verdict(&self, tree: &Tree, depth: Depth) -> Finding {
        match depth {
            Depth::Full => {
                let bound = self.calibration.full();
                let likely = normalised(&tree.scores(), &bound.biases);
                let score = self.ruling.log_odds(&likely);
                self.decide(score, bound, states().into_iter().zip(likely).collect())
            }
            Depth::Lazy => {
                let bound = self.calibration.lazy();
                let likely = normalised(&tree.safety, &bound.biases);
                let score = self.ruling.safety_log_odds(&likely);
                let undecided = VALUES.iter().map(|safety| State([*safety, 0, 0]));
                self.decide(score, bound, undecided.zip(likely).collect())
            }
        }
    }

    fn decide(&self, score: f64, bound: &Bound, likely: Vec<(State, f64)>) -> Finding {
        let distance = score - bound.theta;
        if !distance.is_finite() {
            return Finding { score, ..Finding::unknown("the judge's scores are not finite") };
        }
        let rewinds = |state: &State| self.action(*state) == Action::Rollback;
        let likeliest = |wanted: &dyn Fn(&State) -> bool| {
            let each = likely.iter().filter(|(state, _)| wanted(state));
            each.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(state, _)| *state)
        };
        let (state, action) = if distance > self.judging.margin {
            (likeliest(&rewinds), Action::Rollback)
        } else if distance < -self.judging.margin {
            let state = likeliest(&|state| !rewinds(state));
            (state, state.map_or(Action::Unknown, |state| self.action(state)))
        } else {
            (likeliest(&|_| true), Action::Unknown)
        };
        let close = (action == Action::Unknown).then(|| "too close to the threshold".to_owned());
        Finding { state, note: close, ..Finding::new(action, score, distance) }
    }

    fn action(&self, state: State) -> Action {
        let mut each = states().into_iter().zip(&self.ruling.actions);
        each.find(|(known, _)| *known == state).map_or(Action::Unknown, |(_, action)| *action)
    }
}

/// The labels' tokens. Each has to be one token, alone or without the space in front of it.
pub(super) fn labels(form: &Form) -> Result<Labels> {
    let mut labels = Labels::default();
    for (axis, words) in labels.iter_mut().zip(&form.wording().labels) {
        for (token, word) in axis.iter_mut().zip(words) {
            *token = single(form, word)?;
        }
        if axis[0] == axis[1] || axis[1] == axis[2] || axis[0] == axis[2] {
            return Err(refused(format!("labels {words:?} are not three different tokens")));
        }
    }
    Ok(labels)
}

fn single(form: &Form, word: &str) -> Result<u32> {
    let mut tokens = Vec::new();
    for spelling in [word, word.trim_start()] {
        let encoded = form.tokenizer().encode(spelling, Special::Plain);
        tokens = encoded.map_err(trimtab_runtime::Error::from)?;
        if let [token] = tokens.as_slice() {
            return Ok(*token);
        }
    }
    let spelled: Vec<&str> =
        tokens.iter().filter_map(|token| form.tokenizer().token_text(*token)).collect();
    Err(refused(format!("label {word:?} is not one token of this model but {spelled:?}")))
}
