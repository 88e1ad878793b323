//! One step from one judgement: the order of the parts, and what is written down of it.

use super::guards::{Canary, Inspection, WATCHED};
use super::head::{HeadFacts, OutputHead};
use super::journal::{JournalEntry, JournalOutcome, StepReport};
use super::judgement::{Judgement, LEAST_REWARD};
use super::lesson::{Lesson, Seen, same_partition, served};
use super::logits;
use super::params::Rosa;
use super::policy::Policy;
use super::problem::{Problem, Solved};
use super::reach::Reach;
use super::refusal::{SkipReason, Stop, Tried};
use super::state::{BlockState, RosaState};
use super::support::{SupportRows, choose, narrowed};
use super::trace::AnswerTrace;
use crate::error::{Error, Result};

/// Mean mass of the tokens left out above which the whole vocabulary is computed with.
const MOST_REST: f64 = 0.25;
/// Most probabilities that are kept when it is.
const WHOLE_VALUES: usize = 1 << 24;

/// What an update reads of a model and never changes.
#[derive(Clone, Copy)]
pub struct FrozenModel<'a> {
    /// Its output matrix and final norm.
    pub head: &'a dyn OutputHead,
    /// What was measured of them.
    pub facts: &'a HeadFacts,
    /// Positions whose logits must hardly change.
    pub canary: &'a Canary,
    /// Median length of the stream where the block acts: at `final`, or at `resid_post` of the last block.
    pub stream_norm: f64,
    /// Called between the parts of an update: where a caller of low priority gives way.
    pub pause: &'a dyn Fn(),
}

/// What came of a judgement.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The next version, if there is one.
    pub state: Option<RosaState>,
    /// Everything that is written down of it.
    pub entry: JournalEntry,
}

/// A step that was found, before guards have seen it.
struct Found {
    step: Vec<f32>,
    report: StepReport,
    watched: Lesson,
    /// Of the watched positions, `[w, V]`.
    logits: Vec<f32>,
}

/// The logits of the watched positions, if their partitions are those of the trace.
// -> [w, V]
fn watched_logits(head: &dyn OutputHead, watched: &Lesson) -> Tried<Vec<f32>> {
    let all = watched.logits(head)?;
    for (row, lse) in all.chunks(head.vocabulary().max(1)).zip(&watched.lse) {
        same_partition(*lse, logits::facts(row).lse)?;
    }
    Ok(all)
}

impl Rosa {
    /// One step from one judgement of an answer that the state's version gave.
    ///
    /// The state is left as it is. What teaches nothing says why in the entry.
    ///
    /// # Errors
    ///
    /// A judgement that is none, a trace, state or canary of other shapes than the model's, a head that fails.
    pub fn update(
        &self,
        model: &FrozenModel,
        state: &RosaState,
        trace: &AnswerTrace,
        judgement: &Judgement,
    ) -> Result<Update> {
        self.check(model, state, trace, judgement)?;
        let entry = |reason| JournalEntry::skipped(self, state.version, (trace, judgement), reason);
        match self.found(model, state, trace, judgement) {
            Err(Stop::Error(error)) => Err(*error),
            Err(Stop::Skip(reason)) => Ok(Update { state: None, entry: entry(reason) }),
            Ok(found) => self.guarded(model, state, found, entry(SkipReason::NoStep)),
        }
    }

    fn check(
        &self,
        model: &FrozenModel,
        state: &RosaState,
        trace: &AnswerTrace,
        judgement: &Judgement,
    ) -> Result<()> {
        let (width, block) = (model.head.width(), self.params().block);
        judgement.check(trace.tokens.len())?;
        trace.check(width, model.head.vocabulary(), block)?;
        if state.block.kind() != block {
            return Err(Error::invalid("rosa.block", "is another than the state's"));
        }
        let expected = match &state.block {
            BlockState::FinalOffset(_) => width,
            BlockState::LastMlpLora(lora) => width * lora.rank(),
        };
        if state.block.values().len() != expected || model.facts.mean_row.len() != width {
            return Err(Error::invalid("state", format!("is not of a stream {width} wide")));
        }
        Ok(())
    }

    /// Why a judgement may not teach, by what it is and by the version it is about; nothing is read of the trace's
    /// activations.
    pub fn refusal(
        &self,
        state: &RosaState,
        trace: &AnswerTrace,
        judgement: &Judgement,
    ) -> Option<SkipReason> {
        let params = self.params();
        let refusals = [
            (trace.version != state.version, SkipReason::Stale),
            (judgement.confidence < params.confidence, SkipReason::LowConfidence),
            (judgement.reward.abs() < LEAST_REWARD, SkipReason::SmallReward),
            (!params.signs.allow(judgement.reward), SkipReason::SignNotAllowed),
            (trace.tokens.len() < 2, SkipReason::TooShort),
        ];
        refusals.into_iter().find(|(refused, _)| *refused).map(|(_, reason)| reason)
    }

    fn found(
        &self,
        model: &FrozenModel,
        state: &RosaState,
        trace: &AnswerTrace,
        judgement: &Judgement,
    ) -> Tried<Found> {
        if let Some(reason) = self.refusal(state, trace, judgement) {
            return Err(reason.into());
        }
        let params = self.params();
        let states = served(trace, &state.block);
        let seen = Seen::of(trace, &states, model.head, params.top_k, model.pause)?;
        let span = judgement.span.as_deref();
        let lesson = Lesson::new(trace, states, &seen.entropy, params, span)?;
        (model.pause)();
        let width = model.head.width();
        let watched = lesson.of(&lesson.foremost(WATCHED), width)?;
        let logits = watched_logits(model.head, &watched)?;
        (model.pause)();
        let (policy, lesson) = self.policy(model, &seen, lesson)?;
        let lesson = lesson.credited(&policy.possible(trace.origin)?)?;
        (model.pause)();
        let reach = Reach::new(&policy, &lesson, &state.block, model.head)?;
        let problem = Problem {
            rosa: self,
            facts: model.facts,
            policy: &policy,
            reach: &reach,
            lesson: &lesson,
            reward: judgement.reward,
            pause: model.pause,
        };
        let Solved { step, report } = problem.solve(&state.block)?;
        Ok(Found { step: narrowed(&step), report, watched, logits })
    }

    /// The policy over the kept tokens, or over the whole vocabulary where these have too little of the mass.
    fn policy<'a>(
        &self,
        model: &FrozenModel<'a>,
        seen: &Seen,
        lesson: Lesson,
    ) -> Tried<(Policy<'a>, Lesson)> {
        let limit = self.params().support.min(model.head.vocabulary());
        let ids = choose(&seen.likeliest, &lesson.tokens, limit);
        let rows = SupportRows::gather(model.head, model.facts, ids)?;
        let policy = Policy::new(rows, &lesson)?;
        if policy.rest_mass <= MOST_REST {
            return Ok((policy, lesson));
        }
        (model.pause)();
        let fits = (WHOLE_VALUES / model.head.vocabulary().max(1)).max(2);
        let lesson = match lesson.tokens.len() > fits {
            true => lesson.of(&lesson.foremost(fits), model.head.width())?,
            false => lesson,
        };
        Ok((Policy::new(SupportRows::Whole(model.head), &lesson)?, lesson))
    }

    /// The next version if it passes every guard.
    fn guarded(
        &self,
        model: &FrozenModel,
        state: &RosaState,
        found: Found,
        entry: JournalEntry,
    ) -> Result<Update> {
        (model.pause)();
        let next = state.stepped(self.params().decay, &found.step)?;
        let inspection = Inspection {
            head: model.head,
            canary: model.canary,
            params: self.params(),
            stream_norm: model.stream_norm,
            watched: &found.watched,
            logits: &found.logits,
            limit: found.report.kl_limit,
        };
        let guards = inspection.readings(&state.block, &next.block)?;
        let missed: Vec<_> = guards.iter().filter(|g| !g.passed).map(|g| g.name).collect();
        let entry = JournalEntry { step: Some(found.report), guards, ..entry };
        if !missed.is_empty() {
            let outcome = JournalOutcome::Rejected { reason: missed };
            return Ok(Update { state: None, entry: JournalEntry { outcome, ..entry } });
        }
        let outcome = JournalOutcome::Applied { version: next.version };
        let entry = JournalEntry { outcome, delta: found.step, ..entry };
        Ok(Update { state: Some(next), entry })
    }
}
