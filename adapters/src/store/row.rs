//! From a row to a value, column by column.

use crate::{Error, Result};
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Sqlite, Type};

/// The value in a column. A value of another kind than the schema asks for is damage.
pub(super) fn column<T>(row: &SqliteRow, name: &'static str) -> Result<T>
where
    T: for<'r> Decode<'r, Sqlite> + Type<Sqlite>,
{
    row.try_get(name).map_err(|error| Error::Damaged { reason: error.to_string() })
}
