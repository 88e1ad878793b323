//! Retention: what is too old or too much goes, and leaves no text behind.

use super::guard_actions::Most;
use super::{Store, guard_actions};
use crate::{Error, Result};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// How many traces, the newest.
    pub traces: u32,
    /// How many interventions, the newest.
    pub interventions: u32,
    /// How many of one owner among them.
    pub interventions_of_one: u32,
    /// How many events of the audit log, the newest.
    pub audits: u32,
    /// How old a trace may be.
    pub trace_age: Duration,
    /// How many lessons that led to no version, the newest. The others stay with their adapter.
    pub lessons: u32,
    /// How old an event of the audit log, an intervention or a lesson that led to no version may be; a duel that was not
    /// decided goes a trace's age after it could have been. The words of an intervention are as old as a trace
    /// may be.
    pub audit_age: Duration,
}

impl Default for Retention {
    /// 10,000 traces of 24 hours; of 90 days 100,000 events of the audit log and 200,000 interventions, at most half of them
    /// of one owner. An intervention takes about a kilobyte.
    fn default() -> Self {
        Retention {
            traces: 10_000,
            interventions: 200_000,
            interventions_of_one: 100_000,
            audits: 100_000,
            lessons: 100_000,
            trace_age: DAY,
            audit_age: 90 * DAY,
        }
    }
}

/// What a run of retention has deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many traces.
    pub traces: u64,
    /// How many events of the audit log.
    pub audits: u64,
    /// How many interventions.
    pub interventions: u64,
    /// How many lessons.
    pub lessons: u64,
    /// How many duels.
    pub duels: u64,
}

impl Store {
    /// Deletes what `keep` does not keep at this time, and empties the log. To be called now and then, such as every
    /// minute: it is also what keeps the log short.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] where another program keeps the log from being emptied: the rows are deleted, and the next run
    /// empties it.
    pub async fn retain(&self, keep: &Retention, now_ms: i64) -> Result<Removed> {
        let doing = "deleting what is old";
        let mut transaction = self.begin(doing).await?;
        // Beyond the newest n there is no row, or the newest of those that go.
        let traces = sqlx::query(
            "DELETE FROM traces WHERE created_ms < ?1
             OR seq <= (SELECT seq FROM traces ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
        );
        let traces = traces.bind(before(now_ms, keep.trace_age)).bind(keep.traces);
        let traces = traces.execute(&mut *transaction).await.map_err(Error::database(doing))?;
        let audits = sqlx::query(
            "DELETE FROM audit WHERE when_ms < ?1
             OR seq <= (SELECT seq FROM audit ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
        );
        let audits = audits.bind(before(now_ms, keep.audit_age)).bind(keep.audits);
        let audits = audits.execute(&mut *transaction).await.map_err(Error::database(doing))?;
        let moments = (before(now_ms, keep.trace_age), before(now_ms, keep.audit_age));
        let most = Most { in_all: keep.interventions, of_one: keep.interventions_of_one };
        let interventions = guard_actions::grow_old(&mut transaction, moments, most).await;
        let interventions = interventions.map_err(Error::database(doing))?;
        let lessons = sqlx::query(
            "DELETE FROM lessons WHERE version IS NULL AND (when_ms < ?1
             OR seq <= (SELECT seq FROM lessons WHERE version IS NULL ORDER BY seq DESC LIMIT 1 OFFSET ?2))",
        );
        let lessons = lessons.bind(before(now_ms, keep.audit_age)).bind(keep.lessons);
        let lessons = lessons.execute(&mut *transaction).await.map_err(Error::database(doing))?;
        let duels = sqlx::query("DELETE FROM duels WHERE chosen IS NULL AND expires_ms < ?1");
        let duels = duels.bind(before(now_ms, keep.trace_age));
        let duels = duels.execute(&mut *transaction).await.map_err(Error::database(doing))?;
        transaction.commit().await.map_err(Error::database(doing))?;
        self.empty_log().await?;
        let (lessons, duels) = (lessons.rows_affected(), duels.rows_affected());
        let (traces, audits) = (traces.rows_affected(), audits.rows_affected());
        Ok(Removed { traces, audits, interventions, lessons, duels })
    }
}

/// The moment that was `age` ago; the beginning of time for an age without end.
fn before(now_ms: i64, age: Duration) -> i64 {
    now_ms.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}
