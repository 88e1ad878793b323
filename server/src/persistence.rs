//! What the server keeps over a restart: registered vectors, presets and the server default, traces of answers, and who
//! changed what.
//!
//! Everything is in one [`Store`], or nowhere: a server without a state folder forgets. What was answered as done is on
//! the disk by then, except a trace, which follows its answer.

use crate::error::ApiError;
use crate::settings::Switch;
use crate::steer::{Lock, Repository, StoredSettings, StoredVector};
use crate::wire::error::Code;
use crate::wire::vector::{LoadVector, PutSteering};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use trimtab_adapters::store::{
    AuditEvent, GuardActionRow, Put, Retention, Store, Trace, Vector, now_ms,
};
use trimtab_steering::steer::NullVectors;

/// Traces and notes of interventions that may be on their way; what comes beside them is dropped and told to the log, as a
/// disk that has stopped must not fill the memory.
const WRITERS: usize = 1024;
/// How long they are waited for at the end.
const FLUSHING: Duration = Duration::from_secs(10);
/// How often what is old is deleted.
const TENDING: Duration = Duration::from_secs(60);

/// What the server keeps, and whether that includes answers. Cheap to clone.
#[derive(Clone)]
pub struct Persistence {
    store: Option<Arc<Store>>,
    traces: Switch,
    /// Whether what monitors take back is kept in words.
    audit_text: Switch,
    /// A permit for each trace that is being written.
    writing: Arc<Semaphore>,
}

impl Persistence {
    /// Keeps nothing.
    pub fn nothing() -> Persistence {
        let writing = Arc::new(Semaphore::new(WRITERS));
        Persistence { store: None, traces: Switch::Off, audit_text: Switch::Off, writing }
    }

    /// Keeps everything in a store; the traces of all answers only if they are switched on.
    pub fn in_store(store: Store, traces: Switch) -> Persistence {
        let writing = Arc::new(Semaphore::new(WRITERS));
        Persistence { store: Some(Arc::new(store)), traces, audit_text: Switch::Off, writing }
    }

    /// Keeps what monitors take back in words too, or not.
    pub fn with_audit_text(self, audit_text: Switch) -> Persistence {
        Persistence { audit_text, ..self }
    }

    /// The vectors that were registered, for [`Steering::restore`](crate::steer::Steering::restore).
    pub async fn vectors(&self) -> Result<Vec<StoredVector>, ApiError> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let mut vectors = Vec::new();
        for entry in store.vectors().await? {
            if let Some(vector) = store.vector(&entry.id).await? {
                vectors.push(stored(vector)?);
            }
        }
        Ok(vectors)
    }

    /// Presets and the server default that were in force.
    pub async fn settings(&self) -> Result<Option<StoredSettings>, ApiError> {
        let Some(store) = &self.store else { return Ok(None) };
        let Some(found) = store.settings().await? else { return Ok(None) };
        let put: PutSteering =
            serde_json::from_str(&found.document).map_err(|e| ApiError::failed(&e))?;
        Ok(Some(StoredSettings {
            version: found.version.into(),
            default: put.default,
            lock: if put.locked.unwrap_or(false) { Lock::Locked } else { Lock::Open },
            allow: put.allow.unwrap_or_default(),
            presets: put.presets.unwrap_or_default(),
        }))
    }

    /// Where everything is kept, if it is.
    pub(crate) fn store(&self) -> Option<Store> {
        self.store.as_deref().cloned()
    }

    /// The trace of a response that an owner asked for, if it is still kept.
    pub(crate) async fn trace_of(
        &self,
        owner: &str,
        response: &str,
    ) -> Result<Option<Trace>, ApiError> {
        match &self.store {
            None => Ok(None),
            Some(store) => Ok(store.trace_of(owner, response).await?),
        }
    }

    /// Whether all answers are kept.
    pub(crate) fn keeps_traces(&self) -> bool {
        self.store.is_some() && self.traces.is_on()
    }

    /// Keeps an answer. What cannot be kept is told to the log: the answer has been given.
    pub(crate) fn trace(&self, trace: Trace) {
        let lost = format!("trace {} was not kept", trace.id);
        self.beside(lost, async move |store| store.put_trace(&trace).await);
    }

    /// Whether there is anywhere to note what monitors do.
    pub(crate) fn notes_interventions(&self) -> bool {
        self.store.is_some()
    }

    /// Notes what monitors did to an answer. What cannot be noted is told to the log: the answer has been given.
    pub(crate) fn interventions(&self, mut rows: Vec<GuardActionRow>) {
        if !self.audit_text.is_on() {
            rows.iter_mut().for_each(|row| row.text = None);
        }
        let lost = "interventions were not noted".to_owned();
        self.beside(lost, async move |store| store.put_interventions(&rows).await);
    }

    /// Writes beside the answer. What is `lost` where that fails is told to the log.
    fn beside<F: Future<Output = trimtab_adapters::Result<()>> + Send + 'static>(
        &self,
        lost: String,
        write: impl FnOnce(Arc<Store>) -> F + Send + 'static,
    ) {
        let Some(store) = self.store.clone() else { return };
        let Ok(permit) = self.writing.clone().try_acquire_owned() else {
            return tracing::error!("{lost}: the state folder is too slow");
        };
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = write(store).await {
                tracing::error!(%error, "{lost}");
            }
        });
    }

    /// What monitors did since a moment, newest first.
    pub(crate) async fn interventions_since(
        &self,
        since_ms: i64,
        limit: u32,
    ) -> Result<Vec<GuardActionRow>, ApiError> {
        match &self.store {
            None => Ok(Vec::new()),
            Some(store) => Ok(store.interventions(since_ms, limit).await?),
        }
    }

    /// Waits for traces and interventions that are being written.
    pub(crate) async fn flush(&self) {
        let all = self.writing.acquire_many(WRITERS as u32);
        if tokio::time::timeout(FLUSHING, all).await.is_err() {
            tracing::error!("traces were not kept: the state folder is too slow");
        }
    }

    /// Notes who changed what.
    pub(crate) async fn audit(&self, who: &str, what: &str, object: &str) -> Result<(), ApiError> {
        let Some(store) = &self.store else { return Ok(()) };
        let (who, what, object) = (who.to_owned(), what.to_owned(), object.to_owned());
        let detail = "{}".to_owned();
        let event = AuditEvent { when_ms: now_ms(), who, what, object, detail };
        Ok(store.audit(&event).await?)
    }

    /// Deletes what is old, now and then, until it is dropped.
    pub(crate) async fn tend(self) {
        let Some(store) = self.store else { return };
        loop {
            match store.retain(&Retention::default(), now_ms()).await {
                Ok(removed) => tracing::debug!(?removed, "what is old was deleted"),
                Err(error) => tracing::warn!(%error, "what is old was not deleted"),
            }
            tokio::time::sleep(TENDING).await;
        }
    }

    /// Waits for a query, on a thread that may block.
    fn wait<T>(
        &self,
        query: impl AsyncFnOnce(&Store) -> trimtab_adapters::Result<T>,
    ) -> Result<Option<T>, ApiError> {
        match &self.store {
            None => Ok(None),
            Some(store) => Ok(Some(Handle::current().block_on(query(store))?)),
        }
    }
}

impl Repository for Persistence {
    fn put_vector(&self, vector: &StoredVector) -> Result<(), ApiError> {
        let row = row(vector)?;
        let put = self.wait(async |store| store.put_vector(&row).await)?;
        match put {
            None | Some(Put::New | Put::Identical) => Ok(()),
            Some(Put::Differs) => {
                let message = format!("id {} is taken in the state folder", vector.id);
                Err(ApiError::new(Code::IdInUse, message).at("id"))
            }
        }
    }

    fn delete_vector(&self, id: &str) -> Result<(), ApiError> {
        self.wait(async |store| store.delete_vector(id).await).map(drop)
    }

    fn put_settings(&self, settings: &StoredSettings) -> Result<(), ApiError> {
        let document = PutSteering {
            expected_version: settings.version,
            default: settings.default.clone(),
            locked: Some(settings.lock == Lock::Locked),
            allow: Some(settings.allow.clone()),
            presets: Some(settings.presets.clone()),
        };
        let document = serde_json::to_string(&document).map_err(|e| ApiError::failed(&e))?;
        let version = u32::try_from(settings.version).map_err(|e| ApiError::failed(&e))?;
        let expected = version.saturating_sub(1);
        let put = self.wait(async |store| store.put_settings(expected, &document).await)?;
        match put {
            Some(None) => Err(ApiError::failed(&"the state folder holds another version")),
            None | Some(Some(_)) => Ok(()),
        }
    }
}

/// A row as steering knows it.
fn stored(vector: Vector) -> Result<StoredVector, ApiError> {
    let terms: LoadVector =
        serde_json::from_str(&vector.terms).map_err(|e| ApiError::failed(&e))?;
    let null = terms.allow_null.unwrap_or(false);
    Ok(StoredVector {
        id: vector.id,
        sha256: vector.sha256,
        bytes: vector.bytes,
        source: Some(terms.source).filter(|source| !source.is_empty()),
        accept_model: terms.accept_model,
        null: if null { NullVectors::Allow } else { NullVectors::Refuse },
    })
}

/// A vector as a row. What its registration said beside the file is kept as the body that would say it again.
fn row(vector: &StoredVector) -> Result<Vector, ApiError> {
    let terms = LoadVector {
        id: vector.id.clone(),
        source: vector.source.clone().unwrap_or_default(),
        sha256: Some(vector.sha256.clone()),
        accept_model: vector.accept_model.clone(),
        allow_null: Some(vector.null == NullVectors::Allow),
    };
    Ok(Vector {
        id: vector.id.clone(),
        sha256: vector.sha256.clone(),
        source: vector.source.clone().unwrap_or_else(|| "upload".to_owned()),
        terms: serde_json::to_string(&terms).map_err(|e| ApiError::failed(&e))?,
        created_ms: now_ms(),
        bytes: vector.bytes.clone(),
    })
}
