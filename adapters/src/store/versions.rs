//! Adapters and their versions: what was learnt for an owner, step by step.
//!
//! Versions are only ever added. To go back is to add a version that equals an older one, so every state an answer was
//! made with can be found again. Version 0 is the untaught adapter and has no row. The schema refuses to change a row,
//! and to delete one whose adapter stays.

use super::row::column;
use super::{Put, Store, document, guard_actions};
use crate::{Error, Result};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

/// Something that learns for one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// The label of the key it belongs to.
    pub owner: String,
    /// Its name; another owner may use the same.
    pub id: String,
    /// How it learns.
    pub method: String,
    /// The weights it was made for.
    pub weights_sha256: String,
    /// What it was made with, a JSON document kept byte for byte.
    pub config: String,
    /// When it was made.
    pub created_ms: i64,
}

/// Why a version exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A judgement of an answer.
    Feedback,
    /// A choice between two answers.
    Duel,
    /// An older version was restored.
    Revert,
    /// A file was read.
    Import,
}

const CAUSES: [Cause; 4] = [Cause::Feedback, Cause::Duel, Cause::Revert, Cause::Import];

impl Cause {
    /// The word for it, in the table and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Feedback => "feedback",
            Cause::Duel => "duel",
            Cause::Revert => "revert",
            Cause::Import => "import",
        }
    }
}

/// One state of an adapter. It never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterVersion {
    /// The label of the key it belongs to.
    pub owner: String,
    /// The adapter.
    pub adapter: String,
    /// The version it follows; its own is the next number.
    pub parent: u32,
    /// Why it exists.
    pub cause: Cause,
    /// When it was published.
    pub created_ms: i64,
    /// What was measured on the way, a JSON document kept byte for byte.
    pub detail: String,
    /// The state, in the adapter's own format.
    pub state: Vec<u8>,
}

/// A version without its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionEntry {
    /// Its number, from 1.
    pub version: u32,
    /// The version it follows.
    pub parent: u32,
    /// Why it exists.
    pub cause: Cause,
    /// When it was published.
    pub created_ms: i64,
    /// What was measured on the way.
    pub detail: String,
    /// How long the state is.
    pub size_bytes: u64,
}

/// What was deleted with an owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// How many traces.
    pub traces: u64,
    /// How many adapters.
    pub adapters: u64,
    /// How many versions of them.
    pub versions: u64,
}

impl Store {
    /// Makes an adapter, unless its owner has one of this name. Two are the same if they learn alike, under
    /// the same parameters, on the same weights.
    ///
    /// # Errors
    ///
    /// The state file cannot be written.
    pub async fn put_adapter(&self, adapter: &Adapter) -> Result<Put> {
        let doing = "making an adapter";
        document::check("config", &adapter.config)?;
        let mut transaction = self.begin(doing).await?;
        let query = sqlx::query(
            "INSERT INTO adapters (owner, id, method, weights_sha256, created_ms, config)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (owner, id) DO NOTHING",
        );
        let query = query.bind(&adapter.owner).bind(&adapter.id).bind(&adapter.method);
        let query =
            query.bind(&adapter.weights_sha256).bind(adapter.created_ms).bind(&adapter.config);
        let done = query.execute(&mut *transaction).await.map_err(Error::database(doing))?;
        let query = sqlx::query("SELECT * FROM adapters WHERE owner = ?1 AND id = ?2");
        let kept = query.bind(&adapter.owner).bind(&adapter.id).fetch_one(&mut *transaction).await;
        let kept = self::adapter(&kept.map_err(Error::database(doing))?)?;
        transaction.commit().await.map_err(Error::database(doing))?;
        Ok(match done.rows_affected() {
            0 if (Adapter { created_ms: adapter.created_ms, ..kept }) == *adapter => Put::Identical,
            0 => Put::Differs,
            _ => Put::New,
        })
    }

    /// Publishes a version if its parent is still the newest, and returns its number. `None`: another version came
    /// first, and nothing was added.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`] where the owner has no such adapter.
    pub async fn put_version(&self, version: &AdapterVersion) -> Result<Option<u32>> {
        let doing = "publishing a version";
        let mut transaction = self.begin(doing).await?;
        let number = add_version(&mut transaction, version).await?;
        transaction.commit().await.map_err(Error::database(doing))?;
        Ok(number)
    }

    /// The adapter of this name.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn adapter(&self, owner: &str, id: &str) -> Result<Option<Adapter>> {
        let query = sqlx::query("SELECT * FROM adapters WHERE owner = ?1 AND id = ?2");
        let row = query.bind(owner).bind(id).fetch_optional(&self.pool).await;
        row.map_err(Error::database("reading an adapter"))?.as_ref().map(adapter).transpose()
    }

    /// All adapters of an owner, by name.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn adapters(&self, owner: &str) -> Result<Vec<Adapter>> {
        let query = sqlx::query("SELECT * FROM adapters WHERE owner = ?1 ORDER BY id");
        let rows = query.bind(owner).fetch_all(&self.pool).await;
        rows.map_err(Error::database("listing adapters"))?.iter().map(adapter).collect()
    }

    /// The newest version of an adapter, with its state; `None` for one that was taught nothing.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn newest_version(&self, owner: &str, id: &str) -> Result<Option<AdapterVersion>> {
        let query = sqlx::query(
            "SELECT * FROM versions WHERE owner = ?1 AND adapter = ?2 ORDER BY version DESC LIMIT 1",
        );
        let row = query.bind(owner).bind(id).fetch_optional(&self.pool).await;
        row.map_err(Error::database("reading a version"))?.as_ref().map(whole).transpose()
    }

    /// The number of an adapter's newest version; 0 of one that was taught nothing.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn newest_number(&self, owner: &str, id: &str) -> Result<u32> {
        let query = sqlx::query_scalar(
            "SELECT coalesce(max(version), 0) FROM versions WHERE owner = ?1 AND adapter = ?2",
        );
        let number = query.bind(owner).bind(id).fetch_one(&self.pool).await;
        number.map_err(Error::database("reading a version's number"))
    }

    /// The version of this number, with its state.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn version(
        &self,
        owner: &str,
        adapter: &str,
        version: u32,
    ) -> Result<Option<AdapterVersion>> {
        let query = sqlx::query(
            "SELECT * FROM versions WHERE owner = ?1 AND adapter = ?2 AND version = ?3",
        );
        let row = query.bind(owner).bind(adapter).bind(version).fetch_optional(&self.pool).await;
        row.map_err(Error::database("reading a version"))?.as_ref().map(whole).transpose()
    }

    /// All versions of an adapter without their states, oldest first; none for one that does not exist.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn versions(&self, owner: &str, adapter: &str) -> Result<Vec<VersionEntry>> {
        let query = sqlx::query(
            "SELECT version, parent, cause, created_ms, detail, length(state) AS size_bytes
             FROM versions WHERE owner = ?1 AND adapter = ?2 ORDER BY version",
        );
        let rows = query.bind(owner).bind(adapter).fetch_all(&self.pool).await;
        rows.map_err(Error::database("listing versions"))?.iter().map(entry).collect()
    }

    /// Rows of all tables that name an adapter of an owner: of a deleted one there is none.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn adapter_rows(&self, owner: &str, id: &str) -> Result<u64> {
        let query = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM adapters WHERE owner = ?1 AND id = ?2)
             + (SELECT count(*) FROM versions WHERE owner = ?1 AND adapter = ?2)
             + (SELECT count(*) FROM lessons WHERE owner = ?1 AND adapter = ?2)
             + (SELECT count(*) FROM duels WHERE owner = ?1 AND adapter = ?2)
             + (SELECT count(*) FROM traces WHERE owner = ?1 AND adapter = ?2)",
        );
        let rows = query.bind(owner).bind(id).fetch_one(&self.pool).await;
        rows.map_err(Error::database("counting rows of an adapter"))
    }

    /// Deletes an adapter with its versions, lessons and duels, and the traces of answers it had a part in, all or
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`]; [`Error::Busy`] where another program keeps the log from being emptied: the rows are deleted,
    /// and the next deletion empties it.
    pub async fn delete_adapter(&self, owner: &str, id: &str) -> Result<Forgotten> {
        let forgotten = self.forget(owner, Some(id)).await?;
        match forgotten.adapters {
            0 => Err(Error::NoAdapter { id: id.to_owned() }),
            _ => Ok(forgotten),
        }
    }

    /// Deletes all that belongs to an owner: traces, what monitors took back, adapters and their
    /// versions, lessons and duels, all or nothing. The audit log stays, and so do interventions without text.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] where another program keeps the log from being emptied: the rows are deleted, and a second call
    /// empties it.
    pub async fn delete_owner(&self, owner: &str) -> Result<Forgotten> {
        self.forget(owner, None).await
    }

    /// Deletes one adapter of an owner, or everything.
    async fn forget(&self, owner: &str, id: Option<&str>) -> Result<Forgotten> {
        let doing = if id.is_some() { "deleting an adapter" } else { "deleting an owner" };
        let mut transaction = self.begin(doing).await?;
        let query = sqlx::query_scalar(
            "SELECT count(*) FROM versions WHERE owner = ?1 AND (?2 IS NULL OR adapter = ?2)",
        );
        let versions = query.bind(owner).bind(id).fetch_one(&mut *transaction).await;
        let versions = versions.map_err(Error::database(doing))?;
        let query =
            sqlx::query("DELETE FROM adapters WHERE owner = ?1 AND (?2 IS NULL OR id = ?2)");
        let adapters = query.bind(owner).bind(id).execute(&mut *transaction).await;
        let adapters = adapters.map_err(Error::database(doing))?;
        let query =
            sqlx::query("DELETE FROM traces WHERE owner = ?1 AND (?2 IS NULL OR adapter = ?2)");
        let traces = query.bind(owner).bind(id).execute(&mut *transaction).await;
        let traces = traces.map_err(Error::database(doing))?;
        if id.is_none() {
            let texts = guard_actions::forget_texts(&mut transaction, owner).await;
            texts.map_err(Error::database(doing))?;
        }
        transaction.commit().await.map_err(Error::database(doing))?;
        self.empty_log().await?;
        Ok(Forgotten {
            traces: traces.rows_affected(),
            adapters: adapters.rows_affected(),
            versions,
        })
    }
}

/// Adds a version if its parent is still the newest, and gives its number.
pub(super) async fn add_version(
    to: &mut SqliteConnection,
    version: &AdapterVersion,
) -> Result<Option<u32>> {
    document::check("detail", &version.detail)?;
    let query = sqlx::query_scalar(
        "INSERT INTO versions (owner, adapter, version, parent, cause, created_ms, detail, state)
         SELECT ?1, ?2, ?3 + 1, ?3, ?4, ?5, ?6, ?7
         WHERE ?3 = (SELECT coalesce(max(version), 0) FROM versions WHERE owner = ?1 AND adapter = ?2)
         RETURNING version",
    );
    let query = query.bind(&version.owner).bind(&version.adapter).bind(version.parent);
    let query = query.bind(version.cause.as_str()).bind(version.created_ms);
    let query = query.bind(&version.detail).bind(&version.state);
    match query.fetch_optional(to).await {
        Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => {
            Err(Error::NoAdapter { id: version.adapter.clone() })
        }
        number => number.map_err(Error::database("publishing a version")),
    }
}

fn adapter(row: &SqliteRow) -> Result<Adapter> {
    Ok(Adapter {
        owner: column(row, "owner")?,
        id: column(row, "id")?,
        method: column(row, "method")?,
        weights_sha256: column(row, "weights_sha256")?,
        config: column(row, "config")?,
        created_ms: column(row, "created_ms")?,
    })
}

fn cause(row: &SqliteRow) -> Result<Cause> {
    let word: String = column(row, "cause")?;
    let cause = CAUSES.into_iter().find(|cause| cause.as_str() == word);
    cause.ok_or_else(|| Error::Damaged { reason: format!("{word} is no cause of a version") })
}

fn whole(row: &SqliteRow) -> Result<AdapterVersion> {
    Ok(AdapterVersion {
        owner: column(row, "owner")?,
        adapter: column(row, "adapter")?,
        parent: column(row, "parent")?,
        cause: cause(row)?,
        created_ms: column(row, "created_ms")?,
        detail: column(row, "detail")?,
        state: column(row, "state")?,
    })
}

fn entry(row: &SqliteRow) -> Result<VersionEntry> {
    Ok(VersionEntry {
        version: column(row, "version")?,
        parent: column(row, "parent")?,
        cause: cause(row)?,
        created_ms: column(row, "created_ms")?,
        detail: column(row, "detail")?,
        size_bytes: column(row, "size_bytes")?,
    })
}
