//! The host itself: every public act on an adapter.

use super::adapter_file::AdapterFile;
use super::config::{AdapterConfig, Learner};
use super::detail::written;
use super::duel_document::DuelDocument;
use super::duels::{DuelRequest, DuelVote, ShownDuel, TurnPlan};
use super::feedback::{FeedbackReport, Lesson};
use super::key::AdapterKey;
use super::learner::{Job, LearnerThread};
use super::learning_model::LearningModel;
use super::lessons::{Arrived, Prepared, arrive};
use super::limits::{HostLimits, HostLoad};
use super::pinned::{AdapterState, AnswerRecord, PinRequest, PinnedAdapter, Standing};
use super::shared::{Held, Shared};
use super::shelf::{self, file_of};
use super::turns::{OpenedDuel, TasteTurn};
use super::versions::{AdapterSummary, AdapterVersionSummary, ExportedAdapter, Reverted};
use crate::error::{Error, Result};
use crate::store::{Adapter, Forgotten, Store, StoredDuel, now_ms};
use crate::tpop::{DuelTurn, TokenDuel};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use trimtab_runtime::sample::Sampling;

/// Share of the last answer's time that a turn of a learner of tastes waits for a choice that is being learnt.
const TASTE_WAIT: f64 = 0.1;
const MS: i64 = 1000;

/// Adapters of all owners over one store and one model. Clones share it.
#[derive(Clone)]
pub struct AdapterHost {
    shared: Arc<Shared>,
    learner: Arc<LearnerThread>,
}

impl AdapterHost {
    /// Starts the learner's thread, which ends with the last clone; what waits then is still taught.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn start(store: Store, model: LearningModel, limits: HostLimits) -> Result<AdapterHost> {
        let shared = Arc::new(Shared::new(store, model, limits));
        let learner = Arc::new(LearnerThread::start(shared.clone())?);
        Ok(AdapterHost { shared, learner })
    }

    /// Makes an adapter, unless its owner has one of this name that learns alike. Version 0 changes nothing.
    ///
    /// # Errors
    ///
    /// A configuration that is refused, or that the model cannot be taught under; [`Error::Exists`] where one of the name
    /// learns otherwise; too many adapters of the owner.
    pub async fn create(&self, key: &AdapterKey, config: &AdapterConfig) -> Result<AdapterSummary> {
        self.fits(config)?;
        let shared = &self.shared;
        // What no state can be made for is refused before there is a row of it.
        shared.decoded(key, &Arc::new(config.clone()), None).await?;
        self.has_room(key).await?;
        shared.shelf.put(key, config, shared.weights()).await?;
        shared.shelf.adapter(key).await
    }

    /// Whether the model can be taught under a configuration.
    fn fits(&self, config: &AdapterConfig) -> Result<()> {
        let capped = self.shared.model.model().decoder().spec().logit_softcap;
        match (config.check()?, capped) {
            (Learner::Rosa(_), Some(cap)) => {
                let problem = format!("is rosa, which cannot learn through logits capped at {cap}");
                Err(Error::invalid("method", problem))
            }
            (Learner::Rosa(_) | Learner::Tpop(_), _) => Ok(()),
        }
    }

    /// Refuses one adapter too many.
    async fn has_room(&self, key: &AdapterKey) -> Result<()> {
        let rows = self.shared.store.adapters(key.owner()).await?;
        let most = self.shared.limits.adapters;
        if rows.len() >= most && !rows.iter().any(|row| row.id == key.id()) {
            return Err(Error::invalid(
                "adapter",
                format!("is one more than the {most} of an owner"),
            ));
        }
        Ok(())
    }

    /// The version that an answer will be made under. Where a lesson of the adapter waits or is being taught, it is waited
    /// for, at most as long as the method allows; a pin that did not wait long enough says so in
    /// [`PinnedAdapter::is_behind`].
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`]; a version that does not exist; an adapter of other weights.
    pub async fn pin(&self, key: &AdapterKey, request: &PinRequest) -> Result<PinnedAdapter> {
        let row = self.shared.shelf.row(key).await?;
        let (version, behind) = match request {
            PinRequest::Version(version) => (Some(*version), Standing::UpToDate),
            PinRequest::Newest | PinRequest::NewestFrozen => (None, self.settled(key, &row).await?),
        };
        let held = self.shared.held_of(key, &row, version).await?;
        let Held { key, config, version, state, .. } = held;
        let turn = match &state {
            AdapterState::Tpop(state) => self.shared.begin_turn(&key, state),
            AdapterState::Rosa(_) => DuelTurn { round: 0, since_asked: None },
        };
        let shape = self.shared.shape();
        Ok(PinnedAdapter { key, version, config, state, request: *request, behind, turn, shape })
    }

    /// Waits for the lessons of an adapter, as long as it allows.
    async fn settled(&self, key: &AdapterKey, row: &Adapter) -> Result<Standing> {
        let share = match shelf::config_of(row)? {
            AdapterConfig::Rosa { params } => params.wait,
            AdapterConfig::Tpop(_) => TASTE_WAIT,
        };
        let patience = self.shared.took(key).mul_f64(share);
        Ok(match self.learner.queue().settled(key, patience).await {
            true => Standing::UpToDate,
            false => Standing::Behind,
        })
    }

    /// What a learner of tastes wants done in this turn without asking: best of several, a setting, one answer whose tokens
    /// [`token_duel`](Self::token_duel) chooses as answer 0 (for [`TurnPlan::Tokens`]), or nothing. Plain for every other
    /// adapter, and while nothing has been taught.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn serving(&self, pinned: &PinnedAdapter) -> Result<TurnPlan> {
        pinned.taste().map_or(Ok(TurnPlan::Plain), |taste| taste.serving())
    }

    /// Which of these sampled answers is served, row 0 being the plain one.
    ///
    /// # Errors
    ///
    /// A model that cannot be read.
    pub fn best_of(&self, pinned: &PinnedAdapter, answers: &[AnswerRecord]) -> Result<usize> {
        pinned.taste().map_or(Ok(0), |taste| taste.best_of(&self.shared.model, answers))
    }

    /// What is to be made for a duel in this turn. [`TurnPlan::Setting`] where a question is not worth it: one answer.
    ///
    /// # Errors
    ///
    /// An adapter that is no learner of tastes.
    pub fn asking(&self, pinned: &PinnedAdapter, request: &DuelRequest) -> Result<TurnPlan> {
        taste_of(pinned)?.asking(request)
    }

    /// The sampler of a duel token by token, for [`TurnPlan::Tokens`].
    ///
    /// # Errors
    ///
    /// An adapter of another level.
    pub fn token_duel(&self, pinned: &PinnedAdapter, sampling: Sampling) -> Result<TokenDuel> {
        taste_of(pinned)?.token_duel(&self.shared.model, sampling)
    }

    /// Chooses what is shown of the answers that [`asking`](Self::asking) wanted, keeps the duel and its answers, and gives
    /// both in display order. One answer, and nothing to choose, where two would be the same or a question is not worth it.
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
        let shared = &self.shared;
        let opened = taste_of(pinned)?.open(&shared.model, request, answers)?;
        let OpenedDuel { document: DuelDocument { shown, pair }, answers } = opened;
        let created_ms = now_ms();
        let life = i64::try_from(shared.limits.duel_ms).unwrap_or(i64::MAX);
        let expires_ms = created_ms.saturating_add(life);
        let shown = ShownDuel { expires: expires_ms / MS, ..shown };
        let is_asked = pair.is_some();
        let document = DuelDocument { shown: shown.clone(), pair };
        let row = StoredDuel {
            id: shown.id.clone(),
            owner: pinned.key.owner().to_owned(),
            adapter: pinned.key.id().to_owned(),
            created_ms,
            expires_ms,
            document: written("document", &document)?,
            chosen: None,
        };
        shared.store.put_duel(&row).await?;
        if is_asked {
            shared.asked(&pinned.key);
        }
        if pinned.learns() {
            answers.into_iter().for_each(|answer| self.record(answer));
        }
        Ok(shown)
    }

    /// A duel of this owner.
    ///
    /// # Errors
    ///
    /// [`Error::NoDuel`].
    pub async fn duel(&self, owner: &str, id: &str) -> Result<ShownDuel> {
        let row = self.duel_row(owner, id).await?;
        let document: DuelDocument = super::detail::read("document", &row.document)?;
        Ok(ShownDuel { chosen: row.chosen.map(|(word, _)| word), ..document.shown })
    }

    async fn duel_row(&self, owner: &str, id: &str) -> Result<StoredDuel> {
        let row = self.shared.store.duel(owner, id).await?;
        row.ok_or_else(|| Error::NoDuel { id: id.to_owned() })
    }

    /// Takes in a choice. The same choice again gives the stored report. A tie, no choice, "both bad" and a choice sooner
    /// than [`HostLimits::fastest_choice_ms`] are stored and teach nothing: the version stays.
    ///
    /// # Errors
    ///
    /// [`Error::NoDuel`], [`Error::DuelClosed`], [`Error::LearnerFull`].
    pub async fn choose(&self, owner: &str, id: &str, vote: DuelVote) -> Result<FeedbackReport> {
        let row = self.duel_row(owner, id).await?;
        let key = AdapterKey::new(owner, row.adapter)?;
        let prepared = Prepared::chosen(key, id, vote);
        if row.chosen.is_some() {
            let lesson = self.shared.store.lesson(owner, prepared.key.id(), id).await?;
            let same = lesson.filter(|lesson| lesson.said_sha256 == prepared.said_sha256);
            let closed = Error::DuelClosed { id: id.to_owned(), why: "it was decided otherwise" };
            return prepared.known(&same.ok_or(closed)?);
        }
        self.awaited(prepared).await
    }

    /// Keeps an answer that was made under a pinned version until it is judged; for pins that
    /// [learn](PinnedAdapter::learns). Does not wait for anything.
    pub fn record(&self, answer: AnswerRecord) {
        self.shared.answered(&answer.key, answer.took);
        self.shared.answers().keep(answer, Instant::now());
    }

    /// Teaches a lesson and gives what came of it once it has been judged. The same lesson again gives the stored report.
    ///
    /// # Errors
    ///
    /// [`Error::NoAnswer`], [`Error::FeedbackExists`], [`Error::NoAdapter`], [`Error::LearnerFull`]; a remark that is none.
    pub async fn teach(&self, owner: &str, lesson: Lesson) -> Result<FeedbackReport> {
        match arrive(&self.shared, owner, lesson).await? {
            Arrived::Known(report) => Ok(*report),
            Arrived::New(prepared) => self.awaited(*prepared).await,
        }
    }

    /// As [`teach`](Self::teach), without waiting: what can be refused at once is, and the report says `queued`.
    ///
    /// # Errors
    ///
    /// As of [`teach`](Self::teach).
    pub async fn queue(&self, owner: &str, lesson: Lesson) -> Result<FeedbackReport> {
        match arrive(&self.shared, owner, lesson).await? {
            Arrived::Known(report) => Ok(*report),
            Arrived::New(prepared) => {
                let row = self.shared.shelf.row(&prepared.key).await?;
                let version = self.shared.shelf.number(&row).await?;
                let report = prepared.report(version);
                let key = prepared.key.clone();
                self.learner.queue().push(key, Job { prepared: *prepared, reply: None })?;
                Ok(report)
            }
        }
    }

    /// Puts a lesson into the line and waits for its report.
    async fn awaited(&self, prepared: Prepared) -> Result<FeedbackReport> {
        let (reply, report) = oneshot::channel();
        let key = prepared.key.clone();
        self.learner.queue().push(key, Job { prepared, reply: Some(reply) })?;
        report.await.map_err(|_| Error::from(trimtab_runtime::Error::Draining))?
    }

    /// From now on `hear` is told what came of every lesson and choice that is taught, and how long teaching took; not of
    /// those that were taught before. The learner calls it, so it must be quick.
    pub fn on_report(&self, hear: impl Fn(&FeedbackReport, Duration) + Send + Sync + 'static) {
        self.shared.listen(Arc::new(hear));
    }

    /// All adapters of an owner, by id.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn adapters(&self, owner: &str) -> Result<Vec<AdapterSummary>> {
        self.shared.shelf.adapters(owner).await
    }

    /// One adapter.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`].
    pub async fn adapter(&self, key: &AdapterKey) -> Result<AdapterSummary> {
        self.shared.shelf.adapter(key).await
    }

    /// Its versions, oldest first, each with what taught it.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`].
    pub async fn versions(&self, key: &AdapterKey) -> Result<Vec<AdapterVersionSummary>> {
        self.shared.shelf.versions(key).await
    }

    /// Publishes a version that equals an older one; 0 is the untaught adapter. A lesson about an answer of the version
    /// before is stale from then on, and an adapter whose learning had paused learns again.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`]; a version that does not exist.
    pub async fn revert(&self, key: &AdapterKey, to: u32) -> Result<Reverted> {
        let shelf = &self.shared.shelf;
        let newest = shelf.stored(&shelf.row(key).await?, None).await?.number;
        let untaught = match (newest, to) {
            (0, 0) => {
                let Held { config, state, .. } = self.shared.held(key, Some(0)).await?;
                shelf.restore(key, [0, 0], (&config, &state)).await?
            }
            _ => None,
        };
        match untaught {
            Some(reverted) => Ok(reverted),
            None => shelf.revert(key, to).await,
        }
    }

    /// A version as a `trimtab.adapter` file; the newest if none is named.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`]; a version that does not exist.
    pub async fn export(&self, key: &AdapterKey, version: Option<u32>) -> Result<ExportedAdapter> {
        let row = self.shared.shelf.row(key).await?;
        let stored = self.shared.shelf.stored(&row, version).await?;
        if stored.state.is_some() {
            return self.shared.shelf.export(key, Some(stored.number)).await;
        }
        let held = self.shared.held(key, Some(0)).await?;
        file_of(&row, &held.config, &held.state, &stored)
    }

    /// Publishes a version that equals a file's, in an adapter that is made if it is not there. One that is there keeps its
    /// own parameters.
    ///
    /// # Errors
    ///
    /// A file that is none or damaged; [`Error::OtherWeights`]; [`Error::Exists`] where an adapter of the name learns
    /// otherwise.
    pub async fn import(&self, key: &AdapterKey, file: &[u8]) -> Result<AdapterSummary> {
        let AdapterFile { header, state } = AdapterFile::read(file)?;
        self.shared.same_weights(&header.id, &header.weights_sha256)?;
        self.fits(&header.config)?;
        self.shared.decoded(key, &Arc::new(header.config), Some(state)).await?;
        self.has_room(key).await?;
        self.shared.shelf.import(key, file).await
    }

    /// Deletes an adapter with its versions, journal, duels, kept answers and traces.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`].
    pub async fn delete(&self, key: &AdapterKey) -> Result<Forgotten> {
        let forgotten = self.shared.shelf.delete(key).await;
        self.shared.forget_where(|other| other == key);
        self.shared.answers().forget_adapter(key);
        forgotten
    }

    /// Deletes everything of an owner.
    ///
    /// # Errors
    ///
    /// The state file cannot be written.
    pub async fn delete_owner(&self, owner: &str) -> Result<Forgotten> {
        let forgotten = self.shared.store.delete_owner(owner).await;
        self.shared.forget_where(|key| key.owner() == owner);
        self.shared.answers().forget_owner(owner);
        forgotten
    }

    /// What is going on.
    pub fn load(&self) -> HostLoad {
        let (resident, resident_bytes) = self.shared.states().size();
        let recorded_bytes = self.shared.answers().bytes();
        let waiting = self.learner.queue().open();
        HostLoad { waiting, resident, resident_bytes, recorded_bytes }
    }

    /// What learners know of the model.
    pub fn model(&self) -> &LearningModel {
        &self.shared.model
    }
}

fn taste_of(pinned: &PinnedAdapter) -> Result<TasteTurn<'_>> {
    let other = || Error::invalid("adapter", "is no learner of tastes");
    pinned.taste().ok_or_else(other)
}
