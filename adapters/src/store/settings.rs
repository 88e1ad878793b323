//! The steering settings of a server: its default and its presets, as one document with a version.
//!
//! Two administrators cannot overwrite each other unseen: a change names the version it was made from.

use super::row::column;
use super::{Store, document};
use crate::{Error, Result};

/// The settings in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SteeringSettings {
    /// Rises by one with every change; the first is 1.
    pub version: u32,
    /// The settings, a JSON document kept byte for byte.
    pub document: String,
}

impl Store {
    /// The settings, if any were ever put.
    ///
    /// # Errors
    ///
    /// The state file cannot be read.
    pub async fn settings(&self) -> Result<Option<SteeringSettings>> {
        let row = sqlx::query("SELECT version, document FROM settings");
        let row = row.fetch_optional(&self.pool).await;
        let Some(row) = row.map_err(Error::database("reading the settings"))? else {
            return Ok(None);
        };
        let settings = SteeringSettings {
            version: column(&row, "version")?,
            document: column(&row, "document")?,
        };
        Ok(Some(settings))
    }

    /// Replaces the settings if `expected` is still their version (0 before the first), and returns the new one.
    /// `None`: another change was quicker, and nothing changed.
    ///
    /// # Errors
    ///
    /// The text is no JSON document, or the state file cannot be written.
    pub async fn put_settings(&self, expected: u32, document: &str) -> Result<Option<u32>> {
        document::check("settings", document)?;
        // No row, and a version was expected: nothing is selected, so nothing is inserted. A row of another version:
        // the update's condition fails.
        let query = sqlx::query_scalar(
            "INSERT INTO settings (only, version, document)
             SELECT 1, ?1 + 1, ?2 WHERE ?1 = 0 OR EXISTS (SELECT 1 FROM settings)
             ON CONFLICT (only) DO UPDATE SET version = excluded.version, document = excluded.document
             WHERE settings.version = ?1
             RETURNING version",
        );
        let version = query.bind(expected).bind(document).fetch_optional(&self.pool).await;
        version.map_err(Error::database("storing the settings"))
    }
}
