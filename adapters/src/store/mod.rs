//! The state of a server: one SQLite file in a folder that one server at a time may hold.
//!
//! Every query of the program is behind a method of [`Store`], each method is one transaction, and rows are plain
//! structs; another database can be put behind the same methods. A method that has returned has reached the disk
//! (`synchronous=FULL` on a write-ahead log): a crash or a power cut afterwards takes nothing back, and one before
//! leaves no part of it. Deleted text is overwritten in the file (`secure_delete`) and the log, which still holds old
//! pages, is emptied before a deletion returns. Copies that the file system or the disk makes below that are out of
//! reach.
//!
//! There is one connection. SQLite has one writer at a time whatever one does, reads here are short, and with a single
//! connection no method can meet a lock that another of them holds, an emptied log is really empty, and a store in
//! memory behaves like one on disk. SQLite works on a thread of its own, so waiting for the disk blocks no task.
//!
//! Times are milliseconds since 1970 and come from the caller, who may take them from [`now_ms`]: the store reads no
//! clock of its own accord.

mod audit;
mod document;
mod duels;
mod folder;
mod guard_actions;
mod lessons;
mod retain;
mod row;
mod schema;
mod settings;
mod traces;
mod vectors;
mod versions;

pub use audit::AuditEvent;
pub use duels::StoredDuel;
pub use guard_actions::GuardActionRow;
pub use lessons::{LessonRow, Published};
pub use retain::{Removed, Retention};
pub use settings::SteeringSettings;
pub use traces::{Trace, UserText};
pub use vectors::{Vector, VectorEntry};
pub use versions::{Adapter, AdapterVersion, Cause, Forgotten, VersionEntry};

#[cfg(test)]
mod tests;

use crate::{Error, Result};
use folder::Folder;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqlitePool, SqliteTransaction};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a statement waits for another program that has the file open, such as a shell.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Milliseconds since 1970. A clock before that is wrong anyway.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What became of something that was to be stored under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The name was free, and is taken by it.
    New,
    /// The same thing has this name already; nothing changed.
    Identical,
    /// Another thing has this name; nothing changed.
    Differs,
}

/// The state of a server. Clones share it; the folder is free again when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
    // Held, not read: the lock on the folder lasts as long as this.
    _folder: Option<Arc<Folder>>,
}

impl Store {
    /// Opens the state in `folder`, creating folder and file where they are missing (both closed to other users).
    ///
    /// # Errors
    ///
    /// The folder is held by another server, the file is no database, another program's or a newer program's, or the
    /// system refuses. A file that is refused is not changed.
    pub async fn open(folder: &Path) -> Result<Store> {
        let folder = Folder::take(folder)?;
        let file = folder.file();
        let options = settings_of_connections(SqliteConnectOptions::new().filename(&file));
        let pool = connect(options).await.map_err(|error| error.of(&file))?;
        let store = Store { pool, _folder: Some(Arc::new(folder)) };
        match schema::settle(&store.pool, &file).await.map_err(|error| error.of(&file)) {
            Ok(()) => Ok(store),
            Err(error) => {
                // Else the connection would still be closing when the folder is free again.
                store.close().await;
                Err(error)
            }
        }
    }

    /// A store that is gone with its last clone, for tests and for servers without state.
    ///
    /// # Errors
    ///
    /// SQLite cannot be started.
    pub async fn memory() -> Result<Store> {
        let options = settings_of_connections(SqliteConnectOptions::new().in_memory(true));
        let store = Store { pool: connect(options).await?, _folder: None };
        schema::migrate(&store.pool, schema::MIGRATIONS).await?;
        Ok(store)
    }

    /// Ends the work with the file; every later call of a clone fails. Without it the file is closed soon after the
    /// last clone is dropped, which loses nothing.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Reads the whole file and says whether it is sound.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] with the first thing that is wrong.
    pub async fn check(&self) -> Result<()> {
        let doing = "checking the state file";
        let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(1)")
            .fetch_all(&self.pool)
            .await
            .map_err(Error::database(doing))?;
        if found != ["ok"] {
            return Err(Error::Damaged { reason: found.join("; ") });
        }
        let orphans = sqlx::query("PRAGMA foreign_key_check")
            .fetch_all(&self.pool)
            .await
            .map_err(Error::database(doing))?;
        match orphans.len() {
            0 => Ok(()),
            rows => Err(Error::Damaged { reason: format!("{rows} rows belong to nothing") }),
        }
    }

    /// Writes the log into the file and empties it, so that it holds no page of what was deleted.
    async fn empty_log(&self) -> Result<()> {
        let doing = "emptying the log";
        let blocked: i64 = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&self.pool)
            .await
            .map_err(Error::database(doing))?;
        if blocked == 0 { Ok(()) } else { Err(Error::Busy { doing }) }
    }

    /// A transaction that may write from its start, so that what it reads cannot be stale when it writes.
    async fn begin(&self, doing: &'static str) -> Result<SqliteTransaction<'static>> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(Error::database(doing))
    }
}

fn settings_of_connections(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("secure_delete", "ON")
        // A large deletion would otherwise write old pages to a temporary file.
        .pragma("temp_store", "MEMORY")
        // After a large upload the log would keep its size.
        .pragma("journal_size_limit", "4194304")
}

/// The one connection. It has no age limit: a database in memory lives only as long as its connection.
async fn connect(options: SqliteConnectOptions) -> Result<SqlitePool> {
    let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
    pool.connect_with(options).await.map_err(Error::database("opening the state file"))
}
