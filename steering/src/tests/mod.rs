//! Files held against what other programs wrote, every refusal, and what an intervention does to a model.
//!
//! `tests/data` is made by `scripts/golden_vectors.py` with other people's writers: a round trip through our own code
//! would prove nothing about layer numbers or bytes.

mod bare;
mod cutting;
mod gates;
mod golden;
mod import;
mod operations;
mod pin;
mod refusals;
mod schedules;
mod steer;
mod verify;

use crate::direction::Direction;
use crate::error::Result;
use crate::file::VectorFile;
use crate::file::card::{Card, Method, MethodName, ModelPin, Operation, Pinned, SiteCard};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use trimtab_runtime::site::Site;

/// A file of `tests/data`.
fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The bytes of a file of `tests/data`.
fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(data(name)).unwrap()
}

/// What other readers found in the files of `tests/data`.
fn expected() -> serde_json::Value {
    serde_json::from_slice(&bytes("expected.json")).unwrap()
}

/// A folder that is removed when it goes out of scope.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("trimtab-vectors-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// A file with this content.
    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A card for these directions with this operation, magnitude 2 and anchor 0 everywhere.
fn card(operation: Operation, directions: &[Direction]) -> Card {
    let method = Method::named(MethodName::MeanDifference);
    let mut card = Card::unmeasured("calm", "calmer tone", operation, method);
    for direction in directions {
        let site = direction.site();
        let entry = SiteCard { anchor: Some(0.0), ..SiteCard::of(site, Some(2.0)) };
        card.sites.insert(site, entry);
    }
    card
}

fn one_hot(site: Site, width: usize, at: usize) -> Direction {
    let mut row = vec![0.0; width];
    row[at] = 1.0;
    Direction::new(site, 1, row).unwrap()
}

/// A vector that adds at these sites.
fn adding(sites: &[Site], width: usize) -> Result<VectorFile> {
    let directions: Vec<Direction> =
        sites.iter().enumerate().map(|(i, site)| one_hot(*site, width, i % width)).collect();
    VectorFile::new(card(Operation::Add, &directions), directions)
}

/// A model of some shape; `weights` tells builds apart.
pub(crate) fn model(d_model: usize, n_layers: usize, weights: &str) -> ModelPin {
    ModelPin {
        arch: "llama".to_owned(),
        d_model,
        family_sha256: "0".repeat(64),
        n_layers,
        name: "maker/tiny".to_owned(),
        pinned: Pinned::Extract,
        quantization: "F32".to_owned(),
        revision: None,
        template_sha256: None,
        tokenizer_sha256: "1".repeat(64),
        vocab_size: 64,
        weights_sha256: weights.repeat(64 / weights.len()),
    }
}
