//! The journal of what adapters were taught.
//!
//! A lesson is written once, together with the version it led to, if any. Lessons that led to no version go with
//! retention; the others go with their adapter, because its versions can be made again from them.

use super::row::column;
use super::versions::add_version;
use super::{AdapterVersion, Store, document};
use crate::{Error, Result};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

/// A lesson of an adapter, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LessonRow {
    /// The label of the key the adapter belongs to.
    pub owner: String,
    /// The adapter.
    pub adapter: String,
    /// Its own name, never used twice.
    pub id: String,
    /// What it is about; an adapter is taught about a subject once.
    pub subject: String,
    /// Digest of what was said.
    pub said_sha256: String,
    /// When it was said.
    pub when_ms: i64,
    /// The answer that was given for it, a JSON document kept byte for byte.
    pub report: String,
    /// What was measured and done, a JSON document kept byte for byte.
    pub entry: String,
    /// The version that came of it.
    pub version: Option<u32>,
}

/// What became of a version that was to be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It has this number.
    Version(u32),
    /// Another version came first; nothing was written.
    Stale,
}

impl Store {
    /// Publishes a version together with the lesson it came of, if its parent is still the newest. The lesson's `version` is
    /// the new number, whatever it says. A crash leaves both or neither.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`]; [`Error::Exists`] where the subject was taught before.
    pub async fn publish(&self, version: &AdapterVersion, lesson: &LessonRow) -> Result<Published> {
        let doing = "publishing a version";
        let mut transaction = self.begin(doing).await?;
        let Some(number) = add_version(&mut transaction, version).await? else {
            return Ok(Published::Stale);
        };
        let lesson = LessonRow { version: Some(number), ..lesson.clone() };
        add_lesson(&mut transaction, &lesson).await?;
        transaction.commit().await.map_err(Error::database(doing))?;
        Ok(Published::Version(number))
    }

    /// Writes a lesson that led to no version.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`]; [`Error::Exists`] where the subject was taught before.
    pub async fn put_lesson(&self, lesson: &LessonRow) -> Result<()> {
        let doing = "writing a lesson";
        let mut transaction = self.begin(doing).await?;
        add_lesson(&mut transaction, &LessonRow { version: None, ..lesson.clone() }).await?;
        transaction.commit().await.map_err(Error::database(doing))
    }

    /// What an adapter was taught about a subject.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn lesson(
        &self,
        owner: &str,
        adapter: &str,
        subject: &str,
    ) -> Result<Option<LessonRow>> {
        let query =
            sqlx::query("SELECT * FROM lessons WHERE owner = ?1 AND adapter = ?2 AND subject = ?3");
        let row = query.bind(owner).bind(adapter).bind(subject).fetch_optional(&self.pool).await;
        row.map_err(Error::database("reading a lesson"))?.as_ref().map(lesson).transpose()
    }

    /// What any adapter of an owner was taught about a subject, the latest.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn lesson_of(&self, owner: &str, subject: &str) -> Result<Option<LessonRow>> {
        let query = sqlx::query(
            "SELECT * FROM lessons WHERE owner = ?1 AND subject = ?2 ORDER BY seq DESC LIMIT 1",
        );
        let row = query.bind(owner).bind(subject).fetch_optional(&self.pool).await;
        row.map_err(Error::database("reading a lesson"))?.as_ref().map(lesson).transpose()
    }

    /// All lessons of an adapter, oldest first.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn lessons(&self, owner: &str, adapter: &str) -> Result<Vec<LessonRow>> {
        let query =
            sqlx::query("SELECT * FROM lessons WHERE owner = ?1 AND adapter = ?2 ORDER BY seq");
        let rows = query.bind(owner).bind(adapter).fetch_all(&self.pool).await;
        rows.map_err(Error::database("listing lessons"))?.iter().map(lesson).collect()
    }
}

pub(super) async fn add_lesson(to: &mut SqliteConnection, lesson: &LessonRow) -> Result<()> {
    document::check("report", &lesson.report)?;
    document::check("entry", &lesson.entry)?;
    let status = if lesson.version.is_some() { "applied" } else { "rejected" };
    let query = sqlx::query(
        "INSERT INTO lessons (owner, adapter, id, subject, said_sha256, when_ms, status, report, entry, version)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    );
    let query = query.bind(&lesson.owner).bind(&lesson.adapter).bind(&lesson.id);
    let query = query.bind(&lesson.subject).bind(&lesson.said_sha256).bind(lesson.when_ms);
    let query = query.bind(status).bind(&lesson.report).bind(&lesson.entry).bind(lesson.version);
    match query.execute(to).await {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => {
            Err(Error::NoAdapter { id: lesson.adapter.clone() })
        }
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            Err(Error::Exists { what: "lesson", id: lesson.subject.clone() })
        }
        Err(error) => Err(Error::database("writing a lesson")(error)),
    }
}

fn lesson(row: &SqliteRow) -> Result<LessonRow> {
    Ok(LessonRow {
        owner: column(row, "owner")?,
        adapter: column(row, "adapter")?,
        id: column(row, "id")?,
        subject: column(row, "subject")?,
        said_sha256: column(row, "said_sha256")?,
        when_ms: column(row, "when_ms")?,
        report: column(row, "report")?,
        entry: column(row, "entry")?,
        version: column(row, "version")?,
    })
}
