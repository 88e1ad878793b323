//! The host itself: every public act on an adapter.

use super::config::AdapterConfig;
use super::duels::{DuelRequest, DuelVote, ShownDuel, TurnPlan};
use super::feedback::{FeedbackReport, Lesson};
use super::key::AdapterKey;
use super::learning_model::LearningModel;
use super::pinned::{AnswerRecord, PinRequest, PinnedAdapter};
use super::versions::{AdapterSummary, AdapterVersionSummary, ExportedAdapter, Reverted};
use crate::error::{Error, Result};
use crate::store::{Forgotten, Store};
use crate::tpop::TokenDuel;
use std::sync::Arc;
use trimtab_runtime::sample::Sampling;

/// Limits of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostLimits {
    /// Adapters of one owner.
    pub adapters: usize,
    /// Bytes of states that are kept in memory; others are read when they are needed.
    pub resident_bytes: usize,
    /// Bytes of recordings that are kept until answers are judged; the oldest go first.
    pub recorded_bytes: usize,
    /// How long a recording is kept.
    pub recorded_ms: u64,
    /// Lessons that may wait, and of one owner.
    pub waiting: [usize; 2],
    /// How long a duel may be decided.
    pub duel_ms: u64,
}

impl Default for HostLimits {
    fn default() -> Self {
        HostLimits {
            adapters: 1000,
            resident_bytes: 256 << 20,
            recorded_bytes: 256 << 20,
            recorded_ms: 600_000,
            waiting: [256, 16],
            duel_ms: 86_400_000,
        }
    }
}

/// What a host has done since it began, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostLoad {
    /// Lessons that wait.
    pub waiting: usize,
    /// States in memory.
    pub resident: usize,
    /// Their bytes.
    pub resident_bytes: usize,
    /// Bytes of recordings.
    pub recorded_bytes: usize,
}

/// Adapters of all owners over one store and one model. Clones share it.
#[derive(Clone)]
pub struct AdapterHost {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    model: LearningModel,
    limits: HostLimits,
}

impl AdapterHost {
    /// Starts the learner's thread, which ends with the last clone.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn start(store: Store, model: LearningModel, limits: HostLimits) -> Result<AdapterHost> {
        Ok(AdapterHost { inner: Arc::new(Inner { store, model, limits }) })
    }

    /// Makes an adapter, unless its owner has one of this name that learns alike. Version 0 changes nothing.
    ///
    /// # Errors
    ///
    /// A configuration that is refused; [`Error::Exists`] where one of the name learns otherwise or for other weights;
    /// too many adapters of the owner.
    pub async fn create(&self, key: &AdapterKey, config: &AdapterConfig) -> Result<AdapterSummary> {
        todo!()
    }

    /// The version that an answer will be made under. Where a lesson of the adapter is being taught, it is waited for, at
    /// most as long as the method allows; a pin that did not wait long enough says so in
    /// [`PinnedAdapter::is_behind`].
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`]; a version that does not exist; an adapter of other weights.
    pub async fn pin(&self, key: &AdapterKey, request: &PinRequest) -> Result<PinnedAdapter> {
        todo!()
    }

    /// What a learner of tastes wants done in this turn without asking: best of several, a setting, or nothing. Plain for
    /// every other adapter.
    pub fn serving(&self, pinned: &PinnedAdapter) -> Result<TurnPlan> {
        todo!()
    }

    /// Which of these sampled answers is served, row 0 being the plain one.
    pub fn best_of(&self, pinned: &PinnedAdapter, answers: &[AnswerRecord]) -> Result<usize> {
        todo!()
    }

    /// What is to be made for a duel in this turn.
    ///
    /// # Errors
    ///
    /// An adapter that is no learner of tastes.
    pub fn asking(&self, pinned: &PinnedAdapter, request: &DuelRequest) -> Result<TurnPlan> {
        todo!()
    }

    /// The sampler of a duel token by token, for [`TurnPlan::Tokens`].
    ///
    /// # Errors
    ///
    /// An adapter of another level.
    pub fn token_duel(&self, pinned: &PinnedAdapter, sampling: Sampling) -> Result<TokenDuel> {
        todo!()
    }

    /// Chooses what is shown of the answers that [`asking`](Self::asking) wanted, keeps the duel and its answers, and gives
    /// both in display order.
    ///
    /// # Errors
    ///
    /// Other answers than were wanted; the state file cannot be written.
    pub async fn open_duel(
        &self,
        pinned: &PinnedAdapter,
        request: &DuelRequest,
        answers: Vec<AnswerRecord>,
    ) -> Result<ShownDuel> {
        todo!()
    }

    /// A duel of this owner.
    pub async fn duel(&self, owner: &str, id: &str) -> Result<ShownDuel> {
        todo!()
    }

    /// Takes in a choice. The same choice again gives the stored report.
    ///
    /// # Errors
    ///
    /// [`Error::NoDuel`], [`Error::DuelClosed`].
    pub async fn choose(&self, owner: &str, id: &str, vote: DuelVote) -> Result<FeedbackReport> {
        todo!()
    }

    /// Keeps an answer that was made under a pinned version until it is judged. Does not wait for anything.
    pub fn record(&self, answer: AnswerRecord) {
        todo!()
    }

    /// Teaches a lesson and gives what came of it once it has been judged. The same lesson again gives the stored report.
    ///
    /// # Errors
    ///
    /// [`Error::NoAnswer`], [`Error::FeedbackExists`], [`Error::NoAdapter`], [`Error::LearnerFull`]; a remark that is none.
    pub async fn teach(&self, owner: &str, lesson: Lesson) -> Result<FeedbackReport> {
        todo!()
    }

    /// As [`teach`](Self::teach), without waiting: what can be refused at once is, and the report says `queued`.
    ///
    /// # Errors
    ///
    /// As of [`teach`](Self::teach).
    pub async fn queue(&self, owner: &str, lesson: Lesson) -> Result<FeedbackReport> {
        todo!()
    }

    /// All adapters of an owner, by id.
    pub async fn adapters(&self, owner: &str) -> Result<Vec<AdapterSummary>> {
        todo!()
    }

    /// One adapter.
    pub async fn adapter(&self, key: &AdapterKey) -> Result<AdapterSummary> {
        todo!()
    }

    /// Its versions, oldest first, each with what taught it.
    pub async fn versions(&self, key: &AdapterKey) -> Result<Vec<AdapterVersionSummary>> {
        todo!()
    }

    /// Publishes a version that equals an older one; 0 is the untaught adapter.
    ///
    /// # Errors
    ///
    /// A version that does not exist.
    pub async fn revert(&self, key: &AdapterKey, to: u32) -> Result<Reverted> {
        todo!()
    }

    /// A version as a `trimtab.adapter` file; the newest if none is named.
    pub async fn export(&self, key: &AdapterKey, version: Option<u32>) -> Result<ExportedAdapter> {
        todo!()
    }

    /// Publishes a version that equals a file's, in an adapter that is made if it is not there.
    ///
    /// # Errors
    ///
    /// A file that is none or damaged; [`Error::OtherWeights`]; an adapter of the name that learns otherwise.
    pub async fn import(&self, key: &AdapterKey, file: &[u8]) -> Result<AdapterSummary> {
        todo!()
    }

    /// Deletes an adapter with its versions, journal, duels, kept answers and traces.
    pub async fn delete(&self, key: &AdapterKey) -> Result<Forgotten> {
        todo!()
    }

    /// Deletes everything of an owner.
    pub async fn delete_owner(&self, owner: &str) -> Result<Forgotten> {
        todo!()
    }

    /// What is going on.
    pub fn load(&self) -> HostLoad {
        todo!()
    }

    /// What learners know of the model.
    pub fn model(&self) -> &LearningModel {
        &self.inner.model
    }
}
