//! Folds that never divide a group, and do not depend on the order of the items.

use crate::error::{Error, Result};
use trimtab_runtime::fingerprint::Fingerprint;

/// How many folds cross-validation and pair weights use.
pub(crate) const FOLDS: usize = 5;

/// The fold of each item. Groups, sorted by a keyed hash, are dealt out in turn, so folds differ by one group at most.
// [n] -> [n] of 0..folds
pub(crate) fn folds(groups: &[u64], folds: usize) -> Result<Vec<usize>> {
    let key = |group: u64| (Fingerprint::builder("trimtab.fold").number(group).finish(), group);
    let mut order: Vec<_> = groups.iter().map(|group| key(*group)).collect();
    order.sort_unstable();
    order.dedup();
    if order.len() < folds {
        return Err(Error::TooFewPairs { what: "groups", found: order.len(), least: folds });
    }
    let rank = |group: u64| order.binary_search(&key(group)).unwrap_or_default();
    Ok(groups.iter().map(|group| rank(*group) % folds).collect())
}
