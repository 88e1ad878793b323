//! Which items are fitted on, which choose, and which are kept for the test.
//!
//! Groups are put in the order of SHA-256(group, seed) and cut where the shares say, so that 100 pairs of 100 prompts give
//! exactly 40, 20 and 40. Equal groups have one hash and stay together. The order of the file plays no part.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// What an item is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Directions are estimated on it.
    Fit,
    /// The candidate is chosen by it.
    Select,
    /// It is only ever measured.
    Test,
}

/// How much of the data each part gets. At least 0 each, and 1 together, by construction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    fit: f64,
    select: f64,
    test: f64,
}

impl Default for Shares {
    fn default() -> Self {
        Shares { fit: 0.4, select: 0.2, test: 0.4 }
    }
}

impl Shares {
    /// Shares of fitting, selection and test; `None` unless the first is above 0, none below, and their sum 1.
    pub fn new(fit: f64, select: f64, test: f64) -> Option<Shares> {
        let sums = (fit + select + test - 1.0).abs() < 1e-9;
        let sound = fit > 0.0 && select >= 0.0 && test >= 0.0 && sums;
        sound.then_some(Shares { fit, select, test })
    }

    /// The shares, in the order fit, select, test.
    pub fn to_array(self) -> [f64; 3] {
        [self.fit, self.select, self.test]
    }
}

/// The part of each group's item.
pub(super) fn parts(groups: &[&str], shares: Shares, seed: u64) -> Vec<Part> {
    let hash = |group: &str| -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(group.as_bytes());
        hash.update(seed.to_le_bytes());
        hash.finalize().into()
    };
    let hashes: Vec<[u8; 32]> = groups.iter().map(|group| hash(group)).collect();
    let mut sizes: BTreeMap<[u8; 32], usize> = BTreeMap::new();
    for hash in &hashes {
        *sizes.entry(*hash).or_default() += 1;
    }
    let total = groups.len() as f64;
    let mut before = 0;
    let assigned: BTreeMap<[u8; 32], Part> = sizes
        .into_iter()
        .map(|(hash, size)| {
            // A group is where its middle is.
            let middle = (before as f64 + size as f64 / 2.0) / total;
            before += size;
            (hash, part_at(middle, shares))
        })
        .collect();
    hashes.iter().map(|hash| assigned.get(hash).copied().unwrap_or(Part::Test)).collect()
}

fn part_at(place: f64, shares: Shares) -> Part {
    if place < shares.fit {
        Part::Fit
    } else if place < shares.fit + shares.select || shares.test == 0.0 && shares.select > 0.0 {
        Part::Select
    } else if shares.test > 0.0 {
        Part::Test
    } else {
        Part::Fit
    }
}
