//! Registered vectors: the files an administrator has put on the server, so that they are there after a restart.
//!
//! The store keeps bytes and hashes and knows nothing of what is inside; a file is read and checked before it is put here.
//! A name keeps its file until it is deleted, because receipts refer to it.

use super::row::column;
use super::{Put, Store};
use crate::{Error, Result};
use sqlx::sqlite::SqliteRow;

/// A registered vector with its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vector {
    /// The name that requests use.
    pub id: String,
    /// Hash of the file.
    pub sha256: String,
    /// What its registration said beside the file, a JSON document kept byte for byte.
    pub terms: String,
    /// Where it came from, in words for a list.
    pub source: String,
    /// When it was registered.
    pub created_ms: i64,
    /// The file.
    pub bytes: Vec<u8>,
}

/// A registered vector without its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VectorEntry {
    /// The name that requests use.
    pub id: String,
    /// Hash of the file.
    pub sha256: String,
    /// What its registration said beside the file.
    pub terms: String,
    /// Where it came from.
    pub source: String,
    /// When it was registered.
    pub created_ms: i64,
    /// How long the file is.
    pub size_bytes: u64,
}

impl Store {
    /// Registers a vector, unless its name is taken. Two files are the same if their hashes are.
    ///
    /// # Errors
    ///
    /// The state file cannot be written.
    pub async fn put_vector(&self, vector: &Vector) -> Result<Put> {
        let doing = "registering a vector";
        let mut transaction = self.begin(doing).await?;
        let query = sqlx::query(
            "INSERT INTO vectors (id, sha256, terms, source, created_ms, bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO NOTHING",
        );
        let query = query.bind(&vector.id).bind(&vector.sha256).bind(&vector.terms);
        let query = query.bind(&vector.source).bind(vector.created_ms).bind(&vector.bytes);
        let done = query.execute(&mut *transaction).await.map_err(Error::database(doing))?;
        let query = sqlx::query_scalar("SELECT sha256 FROM vectors WHERE id = ?1").bind(&vector.id);
        let kept: String =
            query.fetch_one(&mut *transaction).await.map_err(Error::database(doing))?;
        transaction.commit().await.map_err(Error::database(doing))?;
        Ok(match done.rows_affected() {
            0 if kept == vector.sha256 => Put::Identical,
            0 => Put::Differs,
            _ => Put::New,
        })
    }

    /// The vector of this name, with its file.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn vector(&self, id: &str) -> Result<Option<Vector>> {
        let query = sqlx::query("SELECT * FROM vectors WHERE id = ?1").bind(id);
        let row = query.fetch_optional(&self.pool).await;
        row.map_err(Error::database("reading a vector"))?.as_ref().map(vector).transpose()
    }

    /// All registered vectors without their files, by name.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn vectors(&self) -> Result<Vec<VectorEntry>> {
        let query = sqlx::query(
            "SELECT id, sha256, terms, source, created_ms, length(bytes) AS size_bytes
             FROM vectors ORDER BY id",
        );
        let rows = query.fetch_all(&self.pool).await;
        rows.map_err(Error::database("listing vectors"))?.iter().map(entry).collect()
    }

    /// Deletes a vector and says whether there was one.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] where another program keeps the log from being emptied: the vector is deleted all the same.
    pub async fn delete_vector(&self, id: &str) -> Result<bool> {
        let query = sqlx::query("DELETE FROM vectors WHERE id = ?1").bind(id);
        let done = query.execute(&self.pool).await;
        let done = done.map_err(Error::database("deleting a vector"))?;
        self.empty_log().await?;
        Ok(done.rows_affected() > 0)
    }
}

fn vector(row: &SqliteRow) -> Result<Vector> {
    Ok(Vector {
        id: column(row, "id")?,
        sha256: column(row, "sha256")?,
        terms: column(row, "terms")?,
        source: column(row, "source")?,
        created_ms: column(row, "created_ms")?,
        bytes: column(row, "bytes")?,
    })
}

fn entry(row: &SqliteRow) -> Result<VectorEntry> {
    Ok(VectorEntry {
        id: column(row, "id")?,
        sha256: column(row, "sha256")?,
        terms: column(row, "terms")?,
        source: column(row, "source")?,
        created_ms: column(row, "created_ms")?,
        size_bytes: column(row, "size_bytes")?,
    })
}
