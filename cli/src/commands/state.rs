//! The state that a server has kept, read while it does not run.

use super::serve::{folder_of_state, threads};
use crate::error::Result;
use std::path::PathBuf;
use trimtab_adapters::store::Store;

/// Works on the state in a folder, or in the usual one.
pub fn with_store<T>(
    folder: Option<&PathBuf>,
    work: impl AsyncFnOnce(&Store) -> Result<T>,
) -> Result<T> {
    let folder = folder_of_state(folder)?;
    threads()?.block_on(async { work(&Store::open(&folder).await?).await })
}
