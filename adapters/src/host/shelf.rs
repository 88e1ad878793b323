//! Adapters as they are kept: what can be done with them without a model.

use super::adapter_file::{AdapterFile, FileHeader, sha256};
use super::config::{AdapterConfig, TasteConfig};
use super::detail::{LessonEntry, VersionDetail, read, word, written};
use super::key::AdapterKey;
use super::pinned::AdapterState;
use super::taste_space::setting_rewards;
use super::versions::{
    AdapterSummary, AdapterVersionSummary, ExportedAdapter, RankedArm, Reverted,
};
use crate::error::{Error, Result};
use crate::rosa::{BlockKind, JournalEntry, RosaHistory, RosaState};
use crate::store::{
    Adapter, AdapterVersion, Cause, Forgotten, LessonRow, Put, Store, VersionEntry, now_ms,
};
use crate::tpop::TpopState;
use std::sync::Arc;

const MS: i64 = 1000;

/// The adapters of a store. Clones share it.
#[derive(Debug, Clone)]
pub struct AdapterShelf {
    store: Store,
    /// Blocks of the model, where it is known.
    layers: Option<usize>,
}

/// A version as it is stored.
pub(super) struct StoredVersion {
    pub(super) number: u32,
    /// Encoded; none of version 0.
    pub(super) state: Option<Vec<u8>>,
    pub(super) created_ms: i64,
}

impl AdapterShelf {
    /// Over a store, without a model.
    pub fn new(store: Store) -> AdapterShelf {
        AdapterShelf { store, layers: None }
    }

    pub(super) fn beside(store: Store, layers: usize) -> AdapterShelf {
        AdapterShelf { store, layers: Some(layers) }
    }

    pub(super) async fn row(&self, key: &AdapterKey) -> Result<Adapter> {
        let row = self.store.adapter(key.owner(), key.id()).await?;
        row.ok_or_else(|| Error::NoAdapter { id: key.id().to_owned() })
    }

    /// The number of the newest version.
    pub(super) async fn number(&self, row: &Adapter) -> Result<u32> {
        self.store.newest_number(&row.owner, &row.id).await
    }

    /// A version as it is stored, the newest if none is named.
    pub(super) async fn stored(
        &self,
        row: &Adapter,
        version: Option<u32>,
    ) -> Result<StoredVersion> {
        let untaught = StoredVersion { number: 0, state: None, created_ms: row.created_ms };
        let found = match version {
            Some(0) => return Ok(untaught),
            Some(number) => self.store.version(&row.owner, &row.id, number).await?,
            None => self.store.newest_version(&row.owner, &row.id).await?,
        };
        match (found, version) {
            (Some(AdapterVersion { parent, state, created_ms, .. }), _) => {
                Ok(StoredVersion { number: parent + 1, state: Some(state), created_ms })
            }
            (None, None) => Ok(untaught),
            (None, Some(number)) => {
                Err(Error::invalid("version", format!("is {number}, which does not exist")))
            }
        }
    }

    /// All adapters of an owner, by id.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn adapters(&self, owner: &str) -> Result<Vec<AdapterSummary>> {
        let mut summaries = Vec::new();
        for row in self.store.adapters(owner).await? {
            summaries.push(self.summary(&row).await?);
        }
        Ok(summaries)
    }

    /// One adapter.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`].
    pub async fn adapter(&self, key: &AdapterKey) -> Result<AdapterSummary> {
        self.summary(&self.row(key).await?).await
    }

    async fn summary(&self, row: &Adapter) -> Result<AdapterSummary> {
        let config: AdapterConfig = config_of(row)?;
        let versions = self.store.versions(&row.owner, &row.id).await?;
        let lessons = self.store.lessons(&row.owner, &row.id).await?;
        let newest = versions.last();
        let detail: VersionDetail =
            newest.map_or(Ok(VersionDetail::default()), |newest| read("detail", &newest.detail))?;
        let duels = lessons.iter().filter(|lesson| lesson.id.starts_with("duel-")).count();
        let paused = match &config {
            AdapterConfig::Rosa { params } => {
                let history = history(&lessons, &versions)?;
                let capped = history.updates() >= params.max_updates;
                let paused = history.is_paused().then_some("paused");
                paused.or(capped.then_some("update_cap")).map(str::to_owned)
            }
            AdapterConfig::Tpop(_) => detail.warning,
        };
        Ok(AdapterSummary {
            object: "adapter".to_owned(),
            id: row.id.clone(),
            method: row.method.clone(),
            version: newest.map_or(0, |newest| newest.version),
            created: row.created_ms / MS,
            updated: newest.map_or(row.created_ms, |newest| newest.created_ms) / MS,
            site: self.site(&config),
            norm: detail.norm,
            bytes: newest.map_or(0, |newest| newest.size_bytes),
            feedback: (lessons.len() - duels) as u64,
            duels: duels as u64,
            weights_sha256: row.weights_sha256.clone(),
            paused,
            arms: detail.arms,
        })
    }

    fn site(&self, config: &AdapterConfig) -> Option<String> {
        match config {
            AdapterConfig::Tpop(_) => None,
            AdapterConfig::Rosa { params } => Some(match (params.block, self.layers) {
                (BlockKind::FinalOffset, _) => "final".to_owned(),
                (BlockKind::LastMlpLora, None) => "mlp_out".to_owned(),
                (BlockKind::LastMlpLora, Some(n)) => format!("mlp_out.{}", n.saturating_sub(1)),
            }),
        }
    }

    /// Its versions, oldest first, each with what taught it.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`].
    pub async fn versions(&self, key: &AdapterKey) -> Result<Vec<AdapterVersionSummary>> {
        self.row(key).await?;
        let versions = self.store.versions(key.owner(), key.id()).await?;
        versions.iter().map(version_summary).collect()
    }

    /// A version's configuration and state, the newest if none is named.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`]; a version that does not exist, or the untaught state of an adapter that has no version: it is
    /// of its model's shape.
    pub async fn state(
        &self,
        key: &AdapterKey,
        version: Option<u32>,
    ) -> Result<(Arc<AdapterConfig>, AdapterState)> {
        let row = self.row(key).await?;
        let config = config_of(&row)?;
        let stored = self.stored(&row, version).await?;
        let state = match stored.state {
            Some(bytes) => decode_unbound(&config, &bytes)?,
            None => {
                let newest = self.stored(&row, None).await?.state.ok_or_else(|| {
                    Error::invalid("version", "is 0, and the adapter has been taught nothing")
                })?;
                untaught_like(&decode_unbound(&config, &newest)?)?
            }
        };
        Ok((Arc::new(config), state))
    }

    /// Publishes a version that equals an older one; 0 is the untaught adapter. An adapter that has no version stays as it
    /// is.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`]; a version that does not exist.
    pub async fn revert(&self, key: &AdapterKey, to: u32) -> Result<Reverted> {
        let row = self.row(key).await?;
        loop {
            let from = self.number(&row).await?;
            let adapter = key.id().to_owned();
            if from == 0 && to == 0 {
                return Ok(Reverted { adapter, from, version: 0, restores: 0 });
            }
            let (config, state) = self.state(key, Some(to)).await?;
            // Another version may have come between; then it is the one that is gone back from.
            if let Some(reverted) = self.restore(key, [from, to], (&config, &state)).await? {
                return Ok(reverted);
            }
        }
    }

    /// Publishes an older version's state after `from`, if that is the newest.
    pub(super) async fn restore(
        &self,
        key: &AdapterKey,
        [from, to]: [u32; 2],
        (config, state): (&AdapterConfig, &AdapterState),
    ) -> Result<Option<Reverted>> {
        let detail = VersionDetail { restores: Some(to), ..detail_of(config, state)? };
        let draft = VersionDraft { parent: from, cause: Cause::Revert, detail };
        let published = self.store.put_version(&draft.version(key, state)?).await?;
        let adapter = key.id().to_owned();
        Ok(published.map(|version| Reverted { adapter, from, version, restores: to }))
    }

    /// A version as a `trimtab.adapter` file; the newest if none is named.
    ///
    /// # Errors
    ///
    /// As of [`state`](Self::state).
    pub async fn export(&self, key: &AdapterKey, version: Option<u32>) -> Result<ExportedAdapter> {
        let row = self.row(key).await?;
        let stored = self.stored(&row, version).await?;
        let (config, state) = self.state(key, Some(stored.number)).await?;
        file_of(&row, &config, &state, &stored)
    }

    /// Publishes a version that equals a file's, in an adapter that is made if it is not there. One that is there keeps its
    /// own parameters. Whether the file fits a model is not looked at.
    ///
    /// # Errors
    ///
    /// A file that is none or damaged; [`Error::OtherWeights`] where the adapter is of others; [`Error::Exists`] where it
    /// learns by another method or has parameters of another shape.
    pub async fn import(&self, key: &AdapterKey, file: &[u8]) -> Result<AdapterSummary> {
        let file = AdapterFile::read(file)?;
        let state = decode_unbound(&file.header.config, &file.state)?;
        let config = self.settled(key, &file.header).await?;
        let state = under(&config, state)?;
        loop {
            let parent = self.number(&self.row(key).await?).await?;
            let draft =
                VersionDraft { parent, cause: Cause::Import, detail: detail_of(&config, &state)? };
            if self.store.put_version(&draft.version(key, &state)?).await?.is_some() {
                return self.adapter(key).await;
            }
        }
    }

    /// The configuration of the adapter that a file goes into, which is made if it is not there.
    async fn settled(&self, key: &AdapterKey, header: &FileHeader) -> Result<AdapterConfig> {
        if let Some(row) = self.store.adapter(key.owner(), key.id()).await? {
            let config = config_of(&row)?;
            if row.weights_sha256 != header.weights_sha256 {
                return Err(Error::OtherWeights {
                    id: key.id().to_owned(),
                    found: header.weights_sha256.clone(),
                    expected: row.weights_sha256,
                });
            }
            return match is_alike(&config, &header.config) {
                true => Ok(config),
                false => Err(Error::Exists { what: "adapter", id: key.id().to_owned() }),
            };
        }
        self.put(key, &header.config, &header.weights_sha256).await?;
        Ok(header.config.clone())
    }

    /// Makes an adapter, unless there is the same.
    pub(super) async fn put(
        &self,
        key: &AdapterKey,
        config: &AdapterConfig,
        weights: &str,
    ) -> Result<Put> {
        let row = Adapter {
            owner: key.owner().to_owned(),
            id: key.id().to_owned(),
            method: config.method().to_owned(),
            weights_sha256: weights.to_owned(),
            config: written("config", config)?,
            created_ms: now_ms(),
        };
        match self.store.put_adapter(&row).await? {
            Put::Differs => Err(Error::Exists { what: "adapter", id: key.id().to_owned() }),
            put @ (Put::New | Put::Identical) => Ok(put),
        }
    }

    /// Deletes an adapter with its versions, journal, duels and traces.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`].
    pub async fn delete(&self, key: &AdapterKey) -> Result<Forgotten> {
        self.store.delete_adapter(key.owner(), key.id()).await
    }
}

/// A version that is to be published.
pub(super) struct VersionDraft {
    pub(super) parent: u32,
    pub(super) cause: Cause,
    pub(super) detail: VersionDetail,
}

impl VersionDraft {
    /// The row. ROSA's state carries the version's number, by which stale feedback is known; the number in a taste's state
    /// counts what that state has taken in, and is its own.
    pub(super) fn version(self, key: &AdapterKey, state: &AdapterState) -> Result<AdapterVersion> {
        let state = match state {
            AdapterState::Rosa(state) => {
                let version = u64::from(self.parent) + 1;
                RosaState { version, ..state.as_ref().clone() }.encode()
            }
            AdapterState::Tpop(state) => state.encode(),
        };
        Ok(AdapterVersion {
            owner: key.owner().to_owned(),
            adapter: key.id().to_owned(),
            parent: self.parent,
            cause: self.cause,
            created_ms: now_ms(),
            detail: written("detail", &self.detail)?,
            state,
        })
    }
}

/// An adapter that was made before configurations were kept has its method's defaults.
pub(super) fn config_of(row: &Adapter) -> Result<AdapterConfig> {
    if row.config == "{}" {
        return AdapterConfig::of_method(&row.method);
    }
    read("config", &row.config)
}

fn decode_unbound(config: &AdapterConfig, bytes: &[u8]) -> Result<AdapterState> {
    Ok(match config {
        AdapterConfig::Rosa { .. } => {
            AdapterState::Rosa(Arc::new(RosaState::decode_unbound(bytes)?))
        }
        AdapterConfig::Tpop(_) => AdapterState::Tpop(Arc::new(TpopState::decode_unbound(bytes)?)),
    })
}

/// A state under an adapter's own parameters, which a taste's is fitted anew with.
fn under(config: &AdapterConfig, state: AdapterState) -> Result<AdapterState> {
    match (config, &state) {
        (AdapterConfig::Tpop(taste), AdapterState::Tpop(found)) => {
            let own = taste.params.check()?;
            if found.scope().config == own {
                return Ok(state);
            }
            Ok(AdapterState::Tpop(Arc::new(found.reconfigured(own)?)))
        }
        (AdapterConfig::Rosa { .. }, _) | (_, AdapterState::Rosa(_)) => Ok(state),
    }
}

/// Version 0 of an adapter, from another version.
fn untaught_like(state: &AdapterState) -> Result<AdapterState> {
    Ok(match state {
        AdapterState::Rosa(state) => {
            let block = state.block.emptied();
            AdapterState::Rosa(Arc::new(RosaState { version: 0, block, model: state.model }))
        }
        AdapterState::Tpop(state) => AdapterState::Tpop(Arc::new(TpopState::new(*state.scope())?)),
    })
}

/// Whether two configurations have states of one kind.
fn is_alike(a: &AdapterConfig, b: &AdapterConfig) -> bool {
    match (a, b) {
        (AdapterConfig::Rosa { params: a }, AdapterConfig::Rosa { params: b }) => {
            let rank = |p: &crate::rosa::RosaParams| match p.block {
                BlockKind::FinalOffset => 0,
                BlockKind::LastMlpLora => p.rank,
            };
            (a.block, rank(a)) == (b.block, rank(b))
        }
        (AdapterConfig::Tpop(a), AdapterConfig::Tpop(b)) => {
            let names = |taste: &TasteConfig| -> Vec<String> {
                taste.arms.iter().map(|arm| arm.name.clone()).collect()
            };
            (a.params.level, a.params.features, names(a))
                == (b.params.level, b.params.features, names(b))
        }
        (AdapterConfig::Rosa { .. }, AdapterConfig::Tpop(_))
        | (AdapterConfig::Tpop(_), AdapterConfig::Rosa { .. }) => false,
    }
}

/// What is known of a state by itself.
pub(super) fn detail_of(config: &AdapterConfig, state: &AdapterState) -> Result<VersionDetail> {
    Ok(match state {
        AdapterState::Rosa(state) => {
            let squares = state.block.values().iter().map(|x| f64::from(*x) * f64::from(*x));
            VersionDetail { norm: squares.sum::<f64>().sqrt(), ..VersionDetail::default() }
        }
        AdapterState::Tpop(state) => VersionDetail {
            norm: state.head().norm(),
            arms: ranked(config, state)?,
            warning: warning(state).map(str::to_owned),
            ..VersionDetail::default()
        },
    })
}

/// What is wrong with a taste.
pub(super) fn warning(state: &TpopState) -> Option<&'static str> {
    let health = state.health();
    let biased = health.position_bias.then_some("position_bias");
    biased.or(health.is_distrusted().then_some("distrusted"))
}

/// Settings with their rewards, best first.
fn ranked(config: &AdapterConfig, state: &TpopState) -> Result<Vec<RankedArm>> {
    let AdapterConfig::Tpop(taste) = config else { return Ok(Vec::new()) };
    let rewards = taste.arms.iter().zip(setting_rewards(taste, state)?);
    let mut ranked: Vec<RankedArm> =
        rewards.map(|(arm, reward)| RankedArm { name: arm.name.clone(), reward }).collect();
    ranked.sort_by(|a, b| b.reward.total_cmp(&a.reward));
    Ok(ranked)
}

fn version_summary(entry: &VersionEntry) -> Result<AdapterVersionSummary> {
    let detail: VersionDetail = read("detail", &entry.detail)?;
    Ok(AdapterVersionSummary {
        version: entry.version,
        parent: entry.parent,
        cause: entry.cause.as_str().to_owned(),
        created: entry.created_ms / MS,
        kl: detail.kl,
        norm: detail.norm,
        restores: detail.restores,
        lesson: detail.lesson,
        said: detail.said,
        guards: detail.guards,
    })
}

/// A version as a file.
pub(super) fn file_of(
    row: &Adapter,
    config: &AdapterConfig,
    state: &AdapterState,
    stored: &StoredVersion,
) -> Result<ExportedAdapter> {
    let header = FileHeader {
        format: 0,
        id: row.id.clone(),
        method: row.method.clone(),
        config: config.clone(),
        weights_sha256: row.weights_sha256.clone(),
        version: stored.number,
        created_ms: stored.created_ms,
        state_sha256: String::new(),
    };
    let state = match (&stored.state, state) {
        (Some(bytes), _) => bytes.clone(),
        (None, AdapterState::Rosa(state)) => state.encode(),
        (None, AdapterState::Tpop(state)) => state.encode(),
    };
    let bytes = AdapterFile::new(header, state).write()?;
    Ok(ExportedAdapter { sha256: sha256(&bytes), version: stored.number, bytes })
}

/// Steps of all lessons, in order.
pub(super) fn steps(lessons: &[LessonRow]) -> Result<Vec<JournalEntry>> {
    let mut steps = Vec::new();
    for lesson in lessons {
        if let LessonEntry::Steps(of_lesson) = read("entry", &lesson.entry)? {
            steps.extend(of_lesson);
        }
    }
    Ok(steps)
}

/// What an adapter may still be taught, out of its journal. A return to an older version ends a pause, one to the
/// untaught state begins anew.
pub(super) fn history(lessons: &[LessonRow], versions: &[VersionEntry]) -> Result<RosaHistory> {
    let mut returns = Vec::new();
    for version in versions.iter().filter(|v| matches!(v.cause, Cause::Revert | Cause::Import)) {
        let detail: VersionDetail = read("detail", &version.detail)?;
        returns.push((u64::from(version.version), detail.restores == Some(0)));
    }
    let mut history = RosaHistory::default();
    let mut returns = returns.into_iter().peekable();
    for entry in steps(lessons)? {
        while let Some((_, is_empty)) = returns.next_if(|(at, _)| *at <= entry.old_version) {
            if is_empty { history.restart() } else { history.resume() }
        }
        history.record(&entry);
    }
    for (_, is_empty) in returns {
        if is_empty { history.restart() } else { history.resume() }
    }
    Ok(history)
}

/// The word for why a guard or a rule said no.
pub(super) fn reason_of(entry: &JournalEntry) -> Option<String> {
    use crate::rosa::JournalOutcome;
    match &entry.outcome {
        JournalOutcome::Applied { .. } => None,
        JournalOutcome::Rejected { reason } => reason.first().map(word),
        JournalOutcome::Skipped { reason } => Some(word(reason)),
    }
}
