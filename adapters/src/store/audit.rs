//! The audit log: who changed what on this server, and when.
//!
//! Events are added and grow old, never edited. They hold names and numbers; text of users has no place in them,
//! because deleting a user's traces leaves them alone.

use super::row::column;
use super::{Store, document};
use crate::{Error, Result};
use sqlx::sqlite::SqliteRow;

/// One act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// When it was done.
    pub when_ms: i64,
    /// The label of the key that did it.
    pub who: String,
    /// What was done, such as `vector.delete`.
    pub what: String,
    /// What it was done to, by name.
    pub object: String,
    /// The rest, a JSON document kept byte for byte.
    pub detail: String,
}

impl Store {
    /// Adds an event.
    ///
    /// # Errors
    ///
    /// The detail is no JSON document, or the state file cannot be written.
    pub async fn audit(&self, event: &AuditEvent) -> Result<()> {
        document::check("detail", &event.detail)?;
        let query = sqlx::query(
            "INSERT INTO audit (when_ms, who, what, object, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
        );
        let query = query.bind(event.when_ms).bind(&event.who).bind(&event.what);
        let done = query.bind(&event.object).bind(&event.detail).execute(&self.pool).await;
        done.map(|_| ()).map_err(Error::database("writing the audit log"))
    }

    /// The events of this time or later, newest first.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn audits(&self, since_ms: i64, limit: u32) -> Result<Vec<AuditEvent>> {
        let query =
            sqlx::query("SELECT * FROM audit WHERE when_ms >= ?1 ORDER BY seq DESC LIMIT ?2");
        let rows = query.bind(since_ms).bind(limit).fetch_all(&self.pool).await;
        rows.map_err(Error::database("reading the audit log"))?.iter().map(event).collect()
    }
}

fn event(row: &SqliteRow) -> Result<AuditEvent> {
    Ok(AuditEvent {
        when_ms: column(row, "when_ms")?,
        who: column(row, "who")?,
        what: column(row, "what")?,
        object: column(row, "object")?,
        detail: column(row, "detail")?,
    })
}
