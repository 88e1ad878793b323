//! Traces: what is needed to replay an answer, or to learn from a judgement of it.
//!
//! A trace holds what a user wrote, at least as tokens. It is found by its own id or, by its owner only, by the
//! response it belongs to; it goes with retention, with [`Store::delete_traces`], or with its owner.

use super::row::column;
use super::{Store, document, guard_actions};
use crate::{Error, Result};
use sqlx::sqlite::SqliteRow;

/// Whether the receipt of a trace repeats what its user wrote. The tokens always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserText {
    /// It holds numbers, names and hashes.
    Absent,
    /// It holds the words.
    Present,
}

/// An answer that can be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Its own name, never used twice.
    pub id: String,
    /// The id of the response that the client was given, never used twice.
    pub response: String,
    /// The label of the key that asked.
    pub owner: String,
    /// When it was made.
    pub created_ms: i64,
    /// The weights that answered.
    pub weights_sha256: String,
    /// The receipt, a JSON document kept byte for byte.
    pub receipt: String,
    /// The tokens of the prompt.
    pub prompt: Vec<u32>,
    /// The tokens of each choice, in index order.
    pub answers: Vec<Vec<u32>>,
    /// Whether the receipt repeats what the user wrote.
    pub user_text: UserText,
    /// The adapter of its owner that had a part in it, and the version.
    pub adapter: Option<(String, u32)>,
}

impl Store {
    /// Stores a trace.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] where its id or response is stored already: a trace is never replaced.
    pub async fn put_trace(&self, trace: &Trace) -> Result<()> {
        document::check("receipt", &trace.receipt)?;
        let query = sqlx::query(
            "INSERT INTO traces (id, response, owner, created_ms, weights_sha256, receipt, prompt, answers, user_text,
                                 adapter, adapter_version)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        );
        let query = query.bind(&trace.id).bind(&trace.response).bind(&trace.owner);
        let query = query.bind(trace.created_ms).bind(&trace.weights_sha256).bind(&trace.receipt);
        let query = query
            .bind(document::write("prompt", &trace.prompt)?)
            .bind(document::write("answers", &trace.answers)?)
            .bind(i64::from(trace.user_text == UserText::Present));
        let (adapter, version) = trace.adapter.clone().unzip();
        let query = query.bind(adapter).bind(version);
        match query.execute(&self.pool).await {
            Ok(_) => Ok(()),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                Err(Error::Exists { what: "trace", id: trace.id.clone() })
            }
            Err(error) => Err(Error::database("storing a trace")(error)),
        }
    }

    /// The trace of this id, of any owner.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn trace(&self, id: &str) -> Result<Option<Trace>> {
        let query = sqlx::query("SELECT * FROM traces WHERE id = ?1").bind(id);
        let row = query.fetch_optional(&self.pool).await;
        row.map_err(Error::database("reading a trace"))?.as_ref().map(trace).transpose()
    }

    /// The trace of a response, if this owner asked for it.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn trace_of(&self, owner: &str, response: &str) -> Result<Option<Trace>> {
        let query = sqlx::query("SELECT * FROM traces WHERE response = ?1 AND owner = ?2");
        let row = query.bind(response).bind(owner).fetch_optional(&self.pool).await;
        row.map_err(Error::database("reading a trace"))?.as_ref().map(trace).transpose()
    }

    /// The traces that were stored last, newest first.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn traces(&self, limit: u32) -> Result<Vec<Trace>> {
        let query = sqlx::query("SELECT * FROM traces ORDER BY seq DESC LIMIT ?1").bind(limit);
        let rows = query.fetch_all(&self.pool).await;
        rows.map_err(Error::database("listing traces"))?.iter().map(trace).collect()
    }

    /// Deletes all traces of an owner and says how many there were. Their text is gone from the folder afterwards, and so
    /// is what monitors took back of that owner's answers.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] where another program keeps the log from being emptied: the rows are deleted, and a second call
    /// empties it.
    pub async fn delete_traces(&self, owner: &str) -> Result<u64> {
        let doing = "deleting traces";
        let mut transaction = self.begin(doing).await?;
        let query = sqlx::query("DELETE FROM traces WHERE owner = ?1").bind(owner);
        let done = query.execute(&mut *transaction).await.map_err(Error::database(doing))?;
        guard_actions::forget_texts(&mut transaction, owner)
            .await
            .map_err(Error::database(doing))?;
        transaction.commit().await.map_err(Error::database(doing))?;
        self.empty_log().await?;
        Ok(done.rows_affected())
    }
}

fn trace(row: &SqliteRow) -> Result<Trace> {
    let prompt: String = column(row, "prompt")?;
    let answers: String = column(row, "answers")?;
    let user_text: i64 = column(row, "user_text")?;
    let adapter: Option<String> = column(row, "adapter")?;
    let version: Option<u32> = column(row, "adapter_version")?;
    Ok(Trace {
        id: column(row, "id")?,
        response: column(row, "response")?,
        owner: column(row, "owner")?,
        created_ms: column(row, "created_ms")?,
        weights_sha256: column(row, "weights_sha256")?,
        receipt: column(row, "receipt")?,
        prompt: document::read("prompt", &prompt)?,
        answers: document::read("answers", &answers)?,
        user_text: if user_text == 0 { UserText::Absent } else { UserText::Present },
        adapter: adapter.zip(version),
    })
}
