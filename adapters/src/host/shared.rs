//! What the host and its learner have in common: the store, the model, and what is kept in memory.

use super::answers::AnswerBook;
use super::config::AdapterConfig;
use super::feedback::FeedbackReport;
use super::key::AdapterKey;
use super::learning_model::LearningModel;
use super::limits::HostLimits;
use super::pinned::AdapterState;
use super::resident::{ResidentStates, StateName};
use super::shelf::{self, AdapterShelf};
use super::taste_space::{TasteSpace, needs_model, seed_of};
use crate::error::{Error, Result};
use crate::rosa::{RosaHistory, RosaState};
use crate::store::{Adapter, Store};
use crate::tpop::{DuelTurn, TpopState};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Adapters of which counts are kept in memory; all of them are forgotten beyond it, which costs a journal read each.
const MOST_COUNTED: usize = 1 << 16;

/// What is remembered of an adapter between its answers.
#[derive(Debug, Clone, Copy, Default)]
struct Turns {
    /// The next turn's number.
    next: usize,
    /// Turns since the last duel.
    since_asked: Option<u64>,
    /// What the last answer took.
    took: Duration,
}

pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) shelf: AdapterShelf,
    pub(super) model: Arc<LearningModel>,
    pub(super) limits: HostLimits,
    answers: Mutex<AnswerBook>,
    states: Mutex<ResidentStates>,
    /// Each of the version that was newest then.
    histories: Mutex<HashMap<AdapterKey, (StateName, RosaHistory)>>,
    turns: Mutex<HashMap<AdapterKey, Turns>>,
    listeners: Mutex<Vec<Listener>>,
}

/// Hears what came of every lesson, and how long it took to teach.
type Listener = Arc<dyn Fn(&FeedbackReport, Duration) + Send + Sync>;

/// A version of an adapter, with its state.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) key: AdapterKey,
    pub(super) created_ms: i64,
    pub(super) config: Arc<AdapterConfig>,
    pub(super) version: u32,
    pub(super) state: AdapterState,
}

impl Held {
    /// What the state is remembered as.
    pub(super) fn name(&self) -> StateName {
        let Held { key, created_ms, version, .. } = self;
        StateName { key: key.clone(), created_ms: *created_ms, version: *version }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(store: Store, model: LearningModel, limits: HostLimits) -> Shared {
        let layers = model.model().decoder().spec().n_layers();
        let most_age = Duration::from_millis(limits.recorded_ms);
        Shared {
            shelf: AdapterShelf::beside(store.clone(), layers),
            store,
            model: Arc::new(model),
            answers: Mutex::new(AnswerBook::new(limits.recorded_bytes, most_age)),
            states: Mutex::new(ResidentStates::new(limits.resident_bytes)),
            histories: Mutex::default(),
            turns: Mutex::default(),
            listeners: Mutex::default(),
            limits,
        }
    }

    pub(super) fn listen(&self, listener: Listener) {
        locked(&self.listeners).push(listener);
    }

    pub(super) fn tell(&self, report: &FeedbackReport, took: Duration) {
        let listeners = locked(&self.listeners).clone();
        listeners.iter().for_each(|hear| hear(report, took));
    }

    pub(super) fn answers(&self) -> MutexGuard<'_, AnswerBook> {
        locked(&self.answers)
    }

    pub(super) fn states(&self) -> MutexGuard<'_, ResidentStates> {
        locked(&self.states)
    }

    /// The weights that adapters must have been made for.
    pub(super) fn weights(&self) -> &str {
        &self.model.model().identity().weights_sha256
    }

    /// Width and blocks of the model.
    pub(super) fn shape(&self) -> (usize, usize) {
        let spec = self.model.model().decoder().spec();
        (spec.d_model, spec.n_layers())
    }

    pub(super) fn same_weights(&self, id: &str, found: &str) -> Result<()> {
        if found == self.weights() {
            return Ok(());
        }
        let (id, found, expected) = (id.to_owned(), found.to_owned(), self.weights().to_owned());
        Err(Error::OtherWeights { id, found, expected })
    }

    /// A version of an adapter of this model, the newest if none is named.
    pub(super) async fn held(&self, key: &AdapterKey, version: Option<u32>) -> Result<Held> {
        let row = self.shelf.row(key).await?;
        self.held_of(key, &row, version).await
    }

    /// As [`held`](Self::held), of an adapter whose row was read. The bytes of a state that is in memory are not read.
    pub(super) async fn held_of(
        &self,
        key: &AdapterKey,
        row: &Adapter,
        version: Option<u32>,
    ) -> Result<Held> {
        self.same_weights(key.id(), &row.weights_sha256)?;
        let config = Arc::new(shelf::config_of(row)?);
        let created_ms = row.created_ms;
        let version = match version {
            Some(version) => version,
            None => self.shelf.number(row).await?,
        };
        let name = StateName { key: key.clone(), created_ms, version };
        let known = self.states().find(&name);
        let state = match known {
            Some(state) => state,
            None => {
                let stored = self.shelf.stored(row, Some(version)).await?;
                let bytes = stored.state.as_ref().map_or(0, Vec::len);
                let state = self.decoded(key, &config, stored.state).await?;
                self.states().keep(name, state.clone(), bytes.max(LEAST_BYTES));
                state
            }
        };
        Ok(Held { key: key.clone(), created_ms, config, version, state })
    }

    /// A state of this model; the untaught one where there are no bytes.
    pub(super) async fn decoded(
        &self,
        key: &AdapterKey,
        config: &Arc<AdapterConfig>,
        bytes: Option<Vec<u8>>,
    ) -> Result<AdapterState> {
        let (model, key, config) = (self.model.clone(), key.clone(), config.clone());
        let is_quick = match config.as_ref() {
            AdapterConfig::Rosa { .. } => true,
            AdapterConfig::Tpop(taste) => !needs_model(taste) && bytes.is_none(),
        };
        let decode = move || decode(&model, &key, &config, bytes.as_deref());
        if is_quick {
            return decode();
        }
        // A taste is fitted anew from its pairs, and the first of a model reads the model.
        let decoded = tokio::task::spawn_blocking(decode).await;
        decoded.map_err(|_| Error::from(trimtab_runtime::Error::Draining))?
    }

    /// What a rosa adapter may still be taught.
    pub(super) async fn history(&self, held: &Held) -> Result<RosaHistory> {
        let known = locked(&self.histories).get(&held.key).cloned();
        if let Some((_, history)) = known.filter(|(name, _)| *name == held.name()) {
            return Ok(history);
        }
        let (owner, id) = (held.key.owner(), held.key.id());
        let lessons = self.store.lessons(owner, id).await?;
        shelf::history(&lessons, &self.store.versions(owner, id).await?)
    }

    /// Remembers it until another version comes that did not follow from it.
    pub(super) fn keep_history(&self, name: StateName, history: RosaHistory) {
        let mut histories = locked(&self.histories);
        if histories.len() >= MOST_COUNTED {
            histories.clear();
        }
        histories.insert(name.key.clone(), (name, history));
    }

    /// The number of a turn that begins, and how long ago the last duel was. Numbers go on above the pairs that a
    /// state has taken in, so that they go on after a restart.
    pub(super) fn begin_turn(&self, key: &AdapterKey, state: &TpopState) -> DuelTurn {
        let mut turns = locked(&self.turns);
        if turns.len() >= MOST_COUNTED {
            turns.clear();
        }
        let turns = turns.entry(key.clone()).or_default();
        let recorded = usize::try_from(state.recorded()).unwrap_or(usize::MAX);
        let round = turns.next.max(recorded);
        turns.next = round.saturating_add(1);
        turns.since_asked = turns.since_asked.map(|since| since.saturating_add(1));
        DuelTurn { round, since_asked: turns.since_asked }
    }

    /// A duel was shown.
    pub(super) fn asked(&self, key: &AdapterKey) {
        locked(&self.turns).entry(key.clone()).or_default().since_asked = Some(0);
    }

    /// Remembers what an answer took.
    pub(super) fn answered(&self, key: &AdapterKey, took: Duration) {
        locked(&self.turns).entry(key.clone()).or_default().took = took;
    }

    /// What the last answer of an adapter took.
    pub(super) fn took(&self, key: &AdapterKey) -> Duration {
        locked(&self.turns).get(key).map_or(Duration::ZERO, |turns| turns.took)
    }

    /// Forgets what is in memory of some adapters.
    pub(super) fn forget_where(&self, is_meant: impl Fn(&AdapterKey) -> bool) {
        self.states().forget_where(&is_meant);
        locked(&self.histories).retain(|key, _| !is_meant(key));
        locked(&self.turns).retain(|key, _| !is_meant(key));
    }
}

/// Bytes that a state is counted as, at least.
const LEAST_BYTES: usize = 1024;

fn decode(
    model: &LearningModel,
    key: &AdapterKey,
    config: &AdapterConfig,
    bytes: Option<&[u8]>,
) -> Result<AdapterState> {
    let width = model.model().decoder().spec().d_model;
    Ok(match config {
        AdapterConfig::Rosa { params } => AdapterState::Rosa(Arc::new(match bytes {
            Some(bytes) => RosaState::decode(bytes, width, &model.digest())?,
            None => RosaState::untaught(params, width, model.digest(), seed_of(key))?,
        })),
        AdapterConfig::Tpop(taste) => {
            let space = TasteSpace::of(taste, model)?;
            AdapterState::Tpop(Arc::new(match bytes {
                Some(bytes) => TpopState::decode(bytes, space.id(), space.width())?,
                None => TpopState::new(space.scope(taste, key)?)?,
            }))
        }
    })
}
