//! Interventions: what monitors found in answers, what they took back, and how it ended.
//!
//! Rows are added and grow old. The one thing of them that may go before is what was taken back in words: it is a
//! user's text as much as the answer is, so it is deleted with the answer's trace, with its owner's traces, and at the
//! age of a trace. Rows of a request stand in the order in which things happened.

use super::row::column;
use super::{Store, document};
use crate::{Error, Result};
use serde::Serialize;
use sqlx::SqliteTransaction;
use sqlx::sqlite::SqliteRow;

/// One step in the story of a watched answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Intervention {
    /// The request's id; a client may use one twice.
    pub request: String,
    /// The id of the response that the client was given.
    pub response: String,
    /// The id that the answer's trace has, if there is one.
    #[serde(skip)]
    pub trace: String,
    /// The label of the key that asked.
    pub owner: String,
    /// When the answer ended.
    pub when_ms: i64,
    /// The weights that answered.
    pub weights_sha256: String,
    /// The policy that decided, where one did.
    pub policy_sha256: Option<String>,
    /// The prompt's tokens.
    pub prompt_sha256: String,
    /// Which of the request's answers.
    pub choice: u32,
    /// How often the answer had been rewound before.
    pub attempt: u32,
    /// The watch, by its name.
    pub watch: String,
    /// How many of the answer's tokens stayed; of what was found several times, where first.
    pub from: u32,
    /// How many tokens the answer had; of what was found several times, where last.
    pub at: u32,
    /// What the watch found, in its own unit; `None` where it could not tell.
    pub score: Option<f64>,
    /// How far that is from its threshold.
    pub margin: Option<f64>,
    /// The judged state, where there is one.
    pub state: Option<String>,
    /// What was done: `retry`, `unknown`, or `end` for the last row of an answer.
    pub action: String,
    /// By which rule the point to go back to was found.
    pub rule: String,
    /// What was said to the model, by its name.
    pub guidance: String,
    /// How hard guidance pushed, where it was a vector.
    pub beta: Option<f64>,
    /// Tokens that could not come next.
    pub ban: Vec<u32>,
    /// Tokens that were taken back.
    pub discarded: u32,
    /// Hash of what was taken back.
    pub span_sha256: Option<String>,
    /// What was taken back, in words, where it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What became of it.
    pub outcome: String,
    /// How often the watch found it in this attempt.
    pub count: u32,
}

impl Store {
    /// Adds what happened in one answer, all or nothing.
    ///
    /// # Errors
    ///
    /// The state file cannot be written.
    pub async fn put_interventions(&self, rows: &[Intervention]) -> Result<()> {
        let doing = "storing interventions";
        let mut transaction = self.begin(doing).await?;
        for row in rows {
            insert(row)?.execute(&mut *transaction).await.map_err(Error::database(doing))?;
        }
        transaction.commit().await.map_err(Error::database(doing))
    }

    /// The interventions of this time or later, newest first.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn interventions(&self, since_ms: i64, limit: u32) -> Result<Vec<Intervention>> {
        let query = sqlx::query(
            "SELECT * FROM interventions WHERE when_ms >= ?1 ORDER BY seq DESC LIMIT ?2",
        );
        let rows = query.bind(since_ms).bind(limit).fetch_all(&self.pool).await;
        let rows = rows.map_err(Error::database("listing interventions"))?;
        rows.iter().map(intervention).collect()
    }

    /// What happened in the answers of a request, or of a response, in its order.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn interventions_of(&self, id: &str) -> Result<Vec<Intervention>> {
        let query = sqlx::query(
            "SELECT * FROM interventions WHERE request = ?1 OR response = ?1 ORDER BY seq",
        );
        let rows = query.bind(id).fetch_all(&self.pool).await;
        let rows = rows.map_err(Error::database("reading interventions"))?;
        rows.iter().map(intervention).collect()
    }
}

/// Deletes what was taken back of an owner's answers, in words.
pub(super) async fn forget_texts(
    transaction: &mut SqliteTransaction<'static>,
    owner: &str,
) -> sqlx::Result<()> {
    let query = "UPDATE interventions SET text = NULL WHERE owner = ?1 AND text IS NOT NULL";
    sqlx::query(query).bind(owner).execute(&mut **transaction).await.map(|_| ())
}

/// How many rows stay, the newest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub(super) in_all: u32,
    pub(super) of_one: u32,
}

/// Deletes words that are older than a moment, and rows that are older than another or beyond the newest.
pub(super) async fn grow_old(
    transaction: &mut SqliteTransaction<'static>,
    (texts, rows): (i64, i64),
    most: Most,
) -> sqlx::Result<u64> {
    let query = "UPDATE interventions SET text = NULL WHERE when_ms < ?1 AND text IS NOT NULL";
    sqlx::query(query).bind(texts).execute(&mut **transaction).await?;
    let old = sqlx::query("DELETE FROM interventions WHERE when_ms < ?1").bind(rows);
    let mut gone = old.execute(&mut **transaction).await?.rows_affected();
    // First those who have too many of their own, so that they push out nobody else's.
    let crowds = "SELECT owner FROM interventions GROUP BY owner HAVING count(*) > ?1";
    let crowds: Vec<String> =
        sqlx::query_scalar(crowds).bind(most.of_one).fetch_all(&mut **transaction).await?;
    for owner in crowds {
        let query = sqlx::query(
            "DELETE FROM interventions WHERE owner = ?1 AND seq <= (
             SELECT seq FROM interventions WHERE owner = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
        );
        let query = query.bind(owner).bind(most.of_one);
        gone += query.execute(&mut **transaction).await?.rows_affected();
    }
    let query = sqlx::query(
        "DELETE FROM interventions
         WHERE seq <= (SELECT seq FROM interventions ORDER BY seq DESC LIMIT 1 OFFSET ?1)",
    );
    let query = query.bind(most.in_all);
    Ok(gone + query.execute(&mut **transaction).await?.rows_affected())
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

fn insert(row: &Intervention) -> Result<Query<'_>> {
    let query = sqlx::query(
        "INSERT INTO interventions (request, response, trace, owner, when_ms, weights_sha256, policy_sha256,
         prompt_sha256, choice, attempt, watch, \"from\", \"at\", score, margin, state, action, rule, guidance, beta,
         ban, discarded, span_sha256, text, outcome, count)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22,
         ?23, ?24, ?25, ?26)",
    );
    let query = query.bind(&row.request).bind(&row.response).bind(&row.trace).bind(&row.owner);
    let query = query.bind(row.when_ms).bind(&row.weights_sha256).bind(&row.policy_sha256);
    let query = query.bind(&row.prompt_sha256).bind(row.choice).bind(row.attempt).bind(&row.watch);
    let query = query.bind(row.from).bind(row.at).bind(finite(row.score)).bind(finite(row.margin));
    let query = query.bind(&row.state).bind(&row.action).bind(&row.rule).bind(&row.guidance);
    let query = query.bind(finite(row.beta)).bind(document::write("ban", &row.ban)?);
    let query = query.bind(row.discarded).bind(&row.span_sha256).bind(&row.text);
    Ok(query.bind(&row.outcome).bind(row.count))
}

/// A number that a column can hold: SQLite has no other.
fn finite(number: Option<f64>) -> Option<f64> {
    number.filter(|number| number.is_finite())
}

fn intervention(row: &SqliteRow) -> Result<Intervention> {
    let ban: String = column(row, "ban")?;
    Ok(Intervention {
        request: column(row, "request")?,
        response: column(row, "response")?,
        trace: column(row, "trace")?,
        owner: column(row, "owner")?,
        when_ms: column(row, "when_ms")?,
        weights_sha256: column(row, "weights_sha256")?,
        policy_sha256: column(row, "policy_sha256")?,
        prompt_sha256: column(row, "prompt_sha256")?,
        choice: column(row, "choice")?,
        attempt: column(row, "attempt")?,
        watch: column(row, "watch")?,
        from: column(row, "from")?,
        at: column(row, "at")?,
        score: column(row, "score")?,
        margin: column(row, "margin")?,
        state: column(row, "state")?,
        action: column(row, "action")?,
        rule: column(row, "rule")?,
        guidance: column(row, "guidance")?,
        beta: column(row, "beta")?,
        ban: document::read("ban", &ban)?,
        discarded: column(row, "discarded")?,
        span_sha256: column(row, "span_sha256")?,
        text: column(row, "text")?,
        outcome: column(row, "outcome")?,
        count: column(row, "count")?,
    })
}
