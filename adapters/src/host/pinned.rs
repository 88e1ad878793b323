//! The version of an answer in the making, and what is kept of the answer.

use super::config::AdapterConfig;
use super::feedback::AnswerRef;
use super::key::AdapterKey;
use super::recorder::{Recording, RecordingHandle, StateRecorder};
use crate::error::Result;
use crate::rosa::{BlockKind, RosaState};
use crate::tpop::{DuelTurn, TpopState};
use std::sync::Arc;
use std::time::Duration;
use trimtab_runtime::generate::Request;
use trimtab_runtime::plan::Plan;

/// Which version an answer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinRequest {
    /// The newest, and what is said of the answer may teach.
    Newest,
    /// The newest, and nothing is learnt from the answer.
    NewestFrozen,
    /// This one, and nothing is learnt from the answer.
    Version(u32),
}

/// A state of either method.
#[derive(Debug, Clone)]
pub enum AdapterState {
    /// A block of parameters.
    Rosa(Arc<RosaState>),
    /// A taste.
    Tpop(Arc<TpopState>),
}

/// A version that an answer holds: it does not change while the answer runs.
#[derive(Clone)]
pub struct PinnedAdapter {
    pub(super) key: AdapterKey,
    pub(super) version: u32,
    pub(super) config: Arc<AdapterConfig>,
    pub(super) state: AdapterState,
    pub(super) request: PinRequest,
    pub(super) behind: Standing,
    /// Which turn of a learner of tastes it is.
    pub(super) turn: DuelTurn,
    /// Width and blocks of the model.
    pub(super) shape: (usize, usize),
}

/// Whether a pin waited for every lesson that was being taught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No lesson is left out.
    UpToDate,
    /// A lesson was still being taught when waiting for it ended.
    Behind,
}

impl PinnedAdapter {
    /// The adapter.
    pub fn key(&self) -> &AdapterKey {
        &self.key
    }

    /// The version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// How the adapter learns.
    pub fn config(&self) -> &AdapterConfig {
        &self.config
    }

    /// The state.
    pub fn state(&self) -> &AdapterState {
        &self.state
    }

    /// Whether what is said of the answer may teach.
    pub fn learns(&self) -> bool {
        self.request == PinRequest::Newest
    }

    /// Whether a lesson was still being taught when the version was pinned.
    pub fn is_behind(&self) -> bool {
        self.behind == Standing::Behind
    }

    /// A plan with the version in it. Every plan that the answer may run under is to be passed through here, retries' plans
    /// too.
    ///
    /// # Errors
    ///
    /// A number that is not finite.
    pub fn plan(&self, plan: &Plan) -> Result<Plan> {
        match &self.state {
            AdapterState::Rosa(state) => Ok(state.block.in_force(plan, self.shape.1)?),
            AdapterState::Tpop(_) => Ok(plan.clone()),
        }
    }

    /// A request that lists as many likely tokens as an update reads, so that it has not to score the vocabulary again.
    /// Where processors edit logits, what is listed is not the model's own, and nothing is asked for.
    pub fn request(&self, request: Request) -> Request {
        match &*self.config {
            AdapterConfig::Rosa { params } if self.learns() && request.processors.is_empty() => {
                let top_logprobs = request.top_logprobs.max(params.top_k);
                Request { top_logprobs, ..request }
            }
            AdapterConfig::Rosa { .. } | AdapterConfig::Tpop(_) => request,
        }
    }

    /// A monitor that keeps what learning needs, and the handle it is read by; `None` where nothing is kept. Tastes always
    /// want it: they choose among answers by what it keeps.
    pub fn recorder(&self) -> Option<(StateRecorder, RecordingHandle)> {
        let block = match &self.state {
            AdapterState::Rosa(state) => self.learns().then(|| state.block.kind())?,
            AdapterState::Tpop(_) => BlockKind::FinalOffset,
        };
        Some(StateRecorder::new(self.shape, block))
    }
}

/// What is kept of an answer until it is judged.
#[derive(Debug, Clone)]
pub struct AnswerRecord {
    /// The answer.
    pub answer: AnswerRef,
    /// The adapter and the version that answered.
    pub key: AdapterKey,
    /// The version.
    pub version: u32,
    /// The prompt's tokens.
    pub prompt: Vec<u32>,
    /// What the recorder kept.
    pub recording: Recording,
    /// The plan of the answer without the adapter: edits are read under it.
    pub plan: Plan,
    /// What the answer took to make.
    pub took: Duration,
    /// When it was made, milliseconds since 1970.
    pub made_ms: i64,
}
