//! The adapters of a state folder, and the one that a command names.

use super::args::ShelfArgs;
use crate::commands::state::with_store;
use crate::error::{Error, Result};
use trimtab_adapters::host::{AdapterKey, AdapterShelf};

/// The adapter that is meant.
pub fn key(shelf: &ShelfArgs, id: &str) -> Result<AdapterKey> {
    AdapterKey::new(&shelf.owner, id).map_err(|error| Error::usage("ID", error.to_string()))
}

/// Works on the adapters of a state folder.
pub fn with_shelf<T>(
    shelf: &ShelfArgs,
    work: impl AsyncFnOnce(&AdapterShelf) -> trimtab_adapters::Result<T>,
) -> Result<T> {
    with_store(shelf.state_dir.as_ref(), async |store| {
        Ok(work(&AdapterShelf::new(store.clone())).await?)
    })
}
