//! What a lesson is about: tokens with the activations that led to them, recorded or read now.

use super::feedback::ForeignAnswer;
use super::learning_model::LearningModel;
use super::pinned::AnswerRecord;
use super::recorder::Recording;
use super::states::ReadStates;
use crate::error::{Error, Result};
use crate::rosa::{
    AnswerTrace, BlockState, FinalOffset, FrozenModel, LastBlock, RosaState, TokenOrigin,
};
use std::sync::Arc;
use trimtab_runtime::fingerprint::Fingerprint;
use trimtab_runtime::plan::Plan;

/// Where the activations come from.
#[derive(Clone)]
enum Source {
    /// They were recorded while the answer was made.
    Recorded(Arc<AnswerRecord>),
    /// The model reads the tokens.
    Read {
        /// In front of the answer.
        prompt: Vec<u32>,
        /// In force without the adapter.
        plan: Plan,
    },
}

/// An answer that something is said about.
#[derive(Clone)]
pub(super) struct Evidence {
    /// Its name in the journal.
    pub(super) id: String,
    /// The version that answered; `None` for a text from elsewhere, which the newest is taught with.
    pub(super) version: Option<u32>,
    pub(super) tokens: Vec<u32>,
    origin: TokenOrigin,
    source: Source,
}

/// The states of an update within one lesson.
pub(super) struct InForce<'a> {
    /// The version that answered.
    pub(super) answered: &'a RosaState,
    /// What an earlier step of the lesson made of it.
    pub(super) now: &'a RosaState,
}

fn digest(tokens: &[u32]) -> String {
    Fingerprint::builder("trimtab.prompt").tokens(tokens).finish().to_string()
}

impl Evidence {
    /// An answer of an adapter, as it was made.
    pub(super) fn recorded(id: String, record: &Arc<AnswerRecord>) -> Evidence {
        Evidence {
            id,
            version: Some(record.version),
            tokens: record.recording.tokens.clone(),
            origin: TokenOrigin::Sampled,
            source: Source::Recorded(record.clone()),
        }
    }

    /// An answer as its user rewrote it.
    pub(super) fn rewritten(id: String, record: &AnswerRecord, tokens: Vec<u32>) -> Evidence {
        let source = Source::Read { prompt: record.prompt.clone(), plan: record.plan.clone() };
        let version = Some(record.version);
        Evidence { id, version, tokens, origin: TokenOrigin::Written, source }
    }

    /// A text from elsewhere.
    pub(super) fn foreign(id: String, answer: ForeignAnswer) -> Evidence {
        let ForeignAnswer { prompt, tokens } = answer;
        let source = Source::Read { prompt, plan: Plan::empty() };
        Evidence { id, version: None, tokens, origin: TokenOrigin::Written, source }
    }

    fn prompt(&self) -> &[u32] {
        match &self.source {
            Source::Recorded(record) => &record.prompt,
            Source::Read { prompt, .. } => prompt,
        }
    }

    fn plan(&self) -> &Plan {
        match &self.source {
            Source::Recorded(record) => &record.plan,
            Source::Read { plan, .. } => plan,
        }
    }

    /// The activations that led to each token, under the answer's plan and a block.
    // -> [T, d_model]
    fn read(&self, model: &LearningModel, block: Option<&BlockState>) -> Result<ReadStates> {
        let Some(from) = self.prompt().len().checked_sub(1) else {
            return Err(Error::invalid("prompt", "has no token"));
        };
        let layers = model.model().decoder().spec().n_layers();
        let plan = match block {
            Some(block) => block.in_force(self.plan(), layers)?,
            None => self.plan().clone(),
        };
        let mut session = model.model().session(plan)?;
        session.push_prompt(self.prompt())?;
        let read = self.tokens.len().saturating_sub(1);
        session.push(self.tokens.get(..read).unwrap_or_default())?;
        let mut states = model.reader().states(vec![session], from)?;
        states.pop().ok_or_else(|| Error::invalid("answer", "has no activations"))
    }

    /// What a learner of tastes takes: the tokens with `final`, without an adapter.
    pub(super) fn recording(&self, model: &LearningModel) -> Result<Recording> {
        match &self.source {
            Source::Recorded(record) => Ok(record.recording.clone()),
            Source::Read { .. } => {
                let finals = self.read(model, None)?.finals;
                let tokens = self.tokens.clone();
                Ok(Recording { tokens, finals, ..Recording::default() })
            }
        }
    }

    /// The trace with nothing of the model in it: enough to say why it teaches nothing.
    pub(super) fn bare(&self, state: &RosaState, width: usize) -> AnswerTrace {
        let rows = || vec![0.0; self.tokens.len() * width];
        let last_block = match state.block {
            BlockState::FinalOffset(_) => None,
            BlockState::LastMlpLora(_) => Some(LastBlock { resid_mid: rows(), resid_post: rows() }),
        };
        AnswerTrace {
            id: self.id.clone(),
            version: self.version.map_or(state.version, u64::from),
            prompt: digest(self.prompt()),
            tokens: self.tokens.clone(),
            states: rows(),
            lse: vec![0.0; self.tokens.len()],
            origin: self.origin,
            readout: None,
            last_block,
        }
    }

    /// The trace under the state that is in force now. What the token loop read off the logits is taken from it; otherwise
    /// the vocabulary is scored once.
    pub(super) fn trace(
        &self,
        model: &LearningModel,
        frozen: &FrozenModel,
        in_force: InForce,
        top_k: usize,
    ) -> Result<AnswerTrace> {
        let (states, last_block) = self.activations(model, &in_force)?;
        let bare = self.bare(in_force.now, 0);
        let trace = AnswerTrace { states, last_block, ..bare };
        let read_off = match &self.source {
            Source::Recorded(record) if in_force.now == in_force.answered => {
                record.recording.read_off(self.tokens.len(), top_k)
            }
            Source::Recorded(_) | Source::Read { .. } => None,
        };
        match read_off {
            Some((lse, readout)) => Ok(AnswerTrace { lse, readout: Some(readout), ..trace }),
            None => trace.scored(frozen, &in_force.now.block, top_k),
        }
    }

    /// `final` without an offset and, where the block is in the last MLP, the last block as it is now.
    // -> [T, d_model]
    fn activations(
        &self,
        model: &LearningModel,
        in_force: &InForce,
    ) -> Result<(Vec<f32>, Option<LastBlock>)> {
        let InForce { answered, now } = in_force;
        match (&self.source, &now.block, &answered.block) {
            (
                Source::Recorded(record),
                BlockState::FinalOffset(_),
                BlockState::FinalOffset(offset),
            ) => Ok((without(&record.recording.finals, offset), None)),
            (Source::Recorded(record), now, answered) if now == answered => {
                let Recording { finals, last_block, .. } = &record.recording;
                Ok((finals.clone(), last_block.clone()))
            }
            (_, BlockState::FinalOffset(_), _) => Ok((self.read(model, None)?.finals, None)),
            (_, block @ BlockState::LastMlpLora(_), _) => {
                let ReadStates { finals, last_block } = self.read(model, Some(block))?;
                Ok((finals, Some(last_block)))
            }
        }
    }
}

/// Activations at `final` before an offset was added.
// finals [T, d_model] -> [T, d_model]
pub(super) fn without(finals: &[f32], offset: &FinalOffset) -> Vec<f32> {
    let rows = finals.chunks(offset.delta.len().max(1));
    rows.flat_map(|row| row.iter().zip(&offset.delta).map(|(h, d)| h - d)).collect()
}
