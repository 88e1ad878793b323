//! Duels: two answers that were shown, and what was chosen.

use super::lessons::add_lesson;
use super::row::column;
use super::versions::add_version;
use super::{AdapterVersion, LessonRow, Published, Store, document};
use crate::{Error, Result};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

/// A duel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDuel {
    /// Its own name, never used twice.
    pub id: String,
    /// The label of the key the adapter belongs to.
    pub owner: String,
    /// The adapter.
    pub adapter: String,
    /// When it was shown.
    pub created_ms: i64,
    /// When it is too late to choose.
    pub expires_ms: i64,
    /// What was shown and why, a JSON document kept byte for byte.
    pub document: String,
    /// What was chosen, and when.
    pub chosen: Option<(String, i64)>,
}

impl Store {
    /// Keeps a duel that is being shown.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`]; [`Error::Exists`] where the id is taken.
    pub async fn put_duel(&self, duel: &StoredDuel) -> Result<()> {
        document::check("document", &duel.document)?;
        let query = sqlx::query(
            "INSERT INTO duels (id, owner, adapter, created_ms, expires_ms, document)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        );
        let query = query.bind(&duel.id).bind(&duel.owner).bind(&duel.adapter);
        let query = query.bind(duel.created_ms).bind(duel.expires_ms).bind(&duel.document);
        match query.execute(&self.pool).await {
            Ok(_) => Ok(()),
            Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => {
                Err(Error::NoAdapter { id: duel.adapter.clone() })
            }
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                Err(Error::Exists { what: "duel", id: duel.id.clone() })
            }
            Err(error) => Err(Error::database("keeping a duel")(error)),
        }
    }

    /// The duel of this id, if it is this owner's.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn duel(&self, owner: &str, id: &str) -> Result<Option<StoredDuel>> {
        let query = sqlx::query("SELECT * FROM duels WHERE owner = ?1 AND id = ?2");
        let row = query.bind(owner).bind(id).fetch_optional(&self.pool).await;
        row.map_err(Error::database("reading a duel"))?.as_ref().map(duel).transpose()
    }

    /// How many duels of an adapter were decided.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn decided_duels(&self, owner: &str, adapter: &str) -> Result<u64> {
        let query = sqlx::query_scalar(
            "SELECT count(*) FROM duels WHERE owner = ?1 AND adapter = ?2 AND chosen IS NOT NULL",
        );
        let count = query.bind(owner).bind(adapter).fetch_one(&self.pool).await;
        count.map_err(Error::database("counting duels"))
    }

    /// Decides a duel: what was chosen, the lesson of it, and the version that came of it, if one did. All or nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NoDuel`]; [`Error::DuelClosed`] where it was decided before; [`Error::NoAdapter`].
    pub async fn decide_duel(
        &self,
        decided: &StoredDuel,
        lesson: &LessonRow,
        version: Option<&AdapterVersion>,
    ) -> Result<Option<Published>> {
        let doing = "deciding a duel";
        let mut transaction = self.begin(doing).await?;
        choose(&mut transaction, decided).await?;
        let published = match version {
            None => None,
            Some(version) => match add_version(&mut transaction, version).await? {
                None => return Ok(Some(Published::Stale)),
                Some(number) => Some(Published::Version(number)),
            },
        };
        let number = match published {
            Some(Published::Version(number)) => Some(number),
            Some(Published::Stale) | None => None,
        };
        add_lesson(&mut transaction, &LessonRow { version: number, ..lesson.clone() }).await?;
        transaction.commit().await.map_err(Error::database(doing))?;
        Ok(published)
    }
}

async fn choose(to: &mut SqliteConnection, decided: &StoredDuel) -> Result<()> {
    let doing = "deciding a duel";
    let id = decided.id.clone();
    let query = sqlx::query_scalar("SELECT chosen IS NULL FROM duels WHERE owner = ?1 AND id = ?2");
    let open = query.bind(&decided.owner).bind(&decided.id).fetch_optional(&mut *to).await;
    match open.map_err(Error::database(doing))? {
        None => return Err(Error::NoDuel { id }),
        Some(false) => return Err(Error::DuelClosed { id, why: "it was decided before" }),
        Some(true) => {}
    }
    let (chosen, when_ms) = decided.chosen.clone().unzip();
    let query = sqlx::query("UPDATE duels SET chosen = ?1, chosen_ms = ?2 WHERE id = ?3");
    let done = query.bind(chosen).bind(when_ms).bind(&decided.id).execute(to).await;
    done.map(drop).map_err(Error::database(doing))
}

fn duel(row: &SqliteRow) -> Result<StoredDuel> {
    let chosen: Option<String> = column(row, "chosen")?;
    let chosen_ms: Option<i64> = column(row, "chosen_ms")?;
    Ok(StoredDuel {
        id: column(row, "id")?,
        owner: column(row, "owner")?,
        adapter: column(row, "adapter")?,
        created_ms: column(row, "created_ms")?,
        expires_ms: column(row, "expires_ms")?,
        document: column(row, "document")?,
        chosen: chosen.zip(chosen_ms),
    })
}
