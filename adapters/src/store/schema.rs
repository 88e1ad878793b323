//! The versions of the state file, and the way from one to the next.
//!
//! A version is `PRAGMA user_version`, a step is a text of SQL that runs in one transaction and ends by setting it, so
//! a file is always at one version exactly. A step that was released is never edited: a change is the next step.

use crate::{Error, Result};
use sqlx::SqlitePool;
use std::path::Path;

/// The steps, first to last. The n-th leads to version n.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
];

/// `TrMT`, as the first step writes it into the file.
const APPLICATION: i64 = 0x5472_4d54;

/// Accepts a new file or one of ours, and brings it to the newest version. Nothing is written before it is accepted.
pub(super) async fn settle(pool: &SqlitePool, file: &Path) -> Result<()> {
    let doing = "reading the state file";
    let found: i64 = number(pool, "PRAGMA application_id", doing).await?;
    let version: i64 = number(pool, "PRAGMA user_version", doing).await?;
    let things: i64 = number(pool, "SELECT count(*) FROM sqlite_schema", doing).await?;
    let empty = found == 0 && version == 0 && things == 0;
    if found != APPLICATION && !empty {
        return Err(Error::Foreign { path: file.into(), found });
    }
    let known = MIGRATIONS.len() as i64;
    if version > known {
        return Err(Error::Newer { path: file.into(), found: version, known });
    }
    // The mode is kept in the file; it can only be set outside a transaction.
    sqlx::query("PRAGMA journal_mode = WAL")
        .execute(pool)
        .await
        .map_err(Error::database("starting the log"))?;
    migrate(pool, MIGRATIONS).await
}

/// Takes the steps that are missing, each in one transaction.
pub(super) async fn migrate(pool: &SqlitePool, steps: &[&'static str]) -> Result<()> {
    let done: i64 = number(pool, "PRAGMA user_version", "reading the state's version").await?;
    for (version, step) in (1_i64..).zip(steps).filter(|(version, _)| *version > done) {
        take(pool, step).await.map_err(|source| Error::Migration { version, source })?;
    }
    Ok(())
}

async fn take(pool: &SqlitePool, step: &'static str) -> sqlx::Result<()> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(step).execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn number(pool: &SqlitePool, sql: &'static str, doing: &'static str) -> Result<i64> {
    sqlx::query_scalar(sql).fetch_one(pool).await.map_err(Error::database(doing))
}
