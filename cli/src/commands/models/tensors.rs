//! The tensors of a model's files by the type that they are stored as.

use serde::Serialize;
use std::collections::BTreeMap;
use trimtab_runtime::decoder::weights::Weights;

/// Tensors of one stored type.
#[derive(Serialize)]
pub struct Tensors {
    #[serde(rename = "type")]
    pub name: String,
    /// How many there are.
    pub tensors: usize,
    /// Their bytes in the files.
    pub bytes: usize,
}

/// How many tensors of each stored type there are.
pub fn by_type(weights: &Weights) -> Vec<Tensors> {
    let mut kinds: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for entry in weights.tensors() {
        let kind = kinds.entry(entry.dtype.to_string()).or_default();
        kind.0 += 1;
        kind.1 += entry.bytes;
    }
    kinds.into_iter().map(|(name, (tensors, bytes))| Tensors { name, tensors, bytes }).collect()
}

impl Tensors {
    /// A line for people.
    pub fn line(&self) -> String {
        format!("{} {}, {}", self.tensors, self.name, megabytes(self.bytes as u64))
    }
}

pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
