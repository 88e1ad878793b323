//! The steps of one lesson by ROSA.

use super::evidence::{Evidence, InForce};
use super::feedback::StepSummary;
use super::learning_model::LearningModel;
use super::states::StateReader;
use crate::error::Result;
use crate::rosa::{
    FrozenModel, JournalEntry, JournalOutcome, Judgement, Rosa, RosaHistory, RosaState, StepReport,
    Update,
};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// The longest that one part of an update waits for the engine.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// What runs before it gives way again: parts of an update are shorter than a token's step, and to wait a step after each
/// of them would make an update last many times what it costs.
const SLICE: Duration = Duration::from_millis(4);
/// How often it looks.
const GLANCE: Duration = Duration::from_micros(200);

/// Gives way to the engine: between two parts of an update it finishes a round, if it has answers to work on.
pub(super) struct Courtesy<'a> {
    reader: &'a StateReader,
    rounds: Cell<u64>,
    /// When it last gave way.
    since: Cell<Instant>,
}

impl<'a> Courtesy<'a> {
    pub(super) fn to(reader: &'a StateReader) -> Courtesy<'a> {
        Courtesy { reader, rounds: Cell::new(0), since: Cell::new(Instant::now()) }
    }

    pub(super) fn pause(&self) {
        let StateReader::Engine(engine) = self.reader else { return };
        if self.since.get().elapsed() < SLICE {
            return;
        }
        let until = Instant::now() + LONGEST_PAUSE;
        loop {
            let load = engine.load();
            let has_moved = load.rounds != self.rounds.get();
            if load.active == 0 || has_moved || Instant::now() >= until {
                self.rounds.set(load.rounds);
                self.since.set(Instant::now());
                return;
            }
            std::thread::sleep(GLANCE);
        }
    }
}

/// What is said of one answer.
#[derive(Clone)]
pub(super) struct Judged {
    pub(super) evidence: Evidence,
    pub(super) judgement: Judgement,
}

/// What the steps of a lesson led to.
pub(super) struct Stepped {
    /// The state, if any step was applied, with the number of the next version.
    pub(super) state: Option<RosaState>,
    pub(super) entries: Vec<JournalEntry>,
}

/// A learner with the state and history that it goes on from.
pub(super) struct Steps<'a> {
    pub(super) rosa: &'a Rosa,
    pub(super) model: &'a LearningModel,
    pub(super) answered: &'a RosaState,
    pub(super) history: &'a mut RosaHistory,
}

impl Steps<'_> {
    /// A step for each judgement, each from where the one before it led. Together they are one version.
    pub(super) fn take(&mut self, lesson: &[Judged]) -> Result<Stepped> {
        let block = self.rosa.params().block;
        let courtesy = Courtesy::to(self.model.reader());
        let pause = || courtesy.pause();
        let model = self.model;
        model.with_frozen(block, &pause, |frozen| {
            let (mut now, mut entries) = (self.answered.clone(), Vec::new());
            let mut is_new = false;
            for judged in lesson {
                let Update { state, entry } = self.step(frozen, &now, judged)?;
                entries.push(entry);
                if let Some(state) = state {
                    // Until the lesson is over its steps are of the version that answered.
                    now = RosaState { version: self.answered.version, ..state };
                    is_new = true;
                }
            }
            now.version += 1;
            Ok(Stepped { state: is_new.then_some(now), entries })
        })
    }

    fn step(&mut self, frozen: &FrozenModel, now: &RosaState, judged: &Judged) -> Result<Update> {
        let Judged { evidence, judgement } = judged;
        let bare = evidence.bare(now, frozen.head.width());
        let is_refused = self.history.refusal(self.rosa, &bare.id).is_some()
            || self.rosa.refusal(now, &bare, judgement).is_some();
        let trace = match is_refused {
            true => bare,
            false => {
                let in_force = InForce { answered: self.answered, now };
                evidence.trace(self.model, frozen, in_force, self.rosa.params().top_k)?
            }
        };
        self.rosa.learn(self.history, frozen, now, (&trace, judgement))
    }
}

/// The steps in short, those that were applied if any was; divergences and work of all of them, and of two answers the
/// change of the first one's log-probability less that of the second's.
pub(super) fn summary(entries: &[JournalEntry], norm: f64) -> Option<StepSummary> {
    let nothing = StepSummary {
        kl: 0.0,
        kl_limit: 0.0,
        cg_iterations: 0,
        backtracks: 0,
        norm,
        log_p_change: 0.0,
    };
    let signs = [1.0, -1.0];
    let is_applied = |entry: &JournalEntry| matches!(entry.outcome, JournalOutcome::Applied { .. });
    let is_any = entries.iter().any(is_applied);
    let shown = entries.iter().zip(signs).filter(|(entry, _)| is_applied(entry) || !is_any);
    let steps = shown.filter_map(|(entry, sign)| Some((entry.step?, sign)));
    let steps: Vec<(StepReport, f64)> = steps.collect();
    let sum = steps.iter().fold(nothing, |sum, (step, sign)| StepSummary {
        kl: sum.kl + step.kl_measured,
        kl_limit: sum.kl_limit + step.kl_limit,
        cg_iterations: sum.cg_iterations + step.cg_iterations,
        backtracks: sum.backtracks + step.backtracks,
        norm,
        log_p_change: sum.log_p_change + sign * step.log_p_change[1],
    });
    (!steps.is_empty()).then_some(sum)
}
