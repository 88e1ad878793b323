//! What requests come to, what is refused and how, and what administrators can do, all on the tiny model.

mod admin;
mod combine;
mod jail;
mod lock;
mod lowering;
mod monitors;
mod receipts;
mod refusals;

use super::{Repository, Setup, Steering, StoredSettings, StoredVector};
use crate::error::ApiError;
use crate::wire;
use crate::wire::error::Code;
use crate::wire::vector::UploadQuery;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::tiny;
use trimtab_steering::file::card::{
    Card, Method, MethodName, ModelPin, Operation, Pinned, Role, SiteCard, Status,
};
use trimtab_steering::receipt::ReceiptModel;
use trimtab_steering::spec::SteeredModel;
use trimtab_steering::{Direction, VectorFile};

/// Length of the stream at every site of the tests' model.
const NORM: f32 = 10.0;
/// A prompt of twelve tokens.
const PROMPT: [u32; 12] = [7, 4, 11, 11, 14, 22, 14, 17, 11, 3, 1, 2];

fn pin(weights: &str) -> ModelPin {
    ModelPin {
        arch: "llama".to_owned(),
        d_model: tiny::WIDTH,
        family_sha256: "0".repeat(64),
        n_layers: tiny::LAYERS,
        name: "maker/tiny".to_owned(),
        pinned: Pinned::Extract,
        quantization: "F32".to_owned(),
        revision: None,
        template_sha256: None,
        tokenizer_sha256: "1".repeat(64),
        vocab_size: tiny::VOCABULARY,
        weights_sha256: weights.repeat(64 / weights.len()),
    }
}

fn frame() -> SteeredModel {
    let spec = tiny::decoder().unwrap().spec().clone();
    SteeredModel {
        receipt: ReceiptModel {
            weights_sha256: pin("90be41d7").weights_sha256,
            template_sha256: None,
            batch_invariant: true,
        },
        pin: pin("90be41d7"),
        norms: Site::all(spec.n_layers()).map(|site| (site, NORM)).collect(),
        spec,
        tokenizer: Some(tiny::tokenizer().unwrap()),
        template: String::new(),
    }
}

/// A file with one-hot rows at these sites, magnitude 2 and anchor 0.
fn card(operation: Operation, sites: &[Site]) -> (Card, Vec<Direction>) {
    let method = Method::named(MethodName::MeanDifference);
    let mut card = Card::unmeasured("calm", "calmer tone", operation, method);
    card.model = Some(pin("90be41d7"));
    let mut directions = Vec::new();
    for (at, site) in sites.iter().enumerate() {
        let mut row = vec![0.0; tiny::WIDTH];
        row[at] = 1.0;
        directions.push(Direction::new(*site, 1, row).unwrap());
        let entry = SiteCard { anchor: Some(0.0), ..SiteCard::of(*site, Some(2.0)) };
        card.sites.insert(*site, entry);
    }
    (card, directions)
}

fn file(change: impl FnOnce(&mut Card), operation: Operation, sites: &[Site]) -> Vec<u8> {
    let (mut card, directions) = card(operation, sites);
    change(&mut card);
    VectorFile::new(card, directions).unwrap().to_bytes().unwrap()
}

fn adding(sites: &[Site]) -> Vec<u8> {
    file(|_| {}, Operation::Add, sites)
}

const TWO: [Site; 2] = [Site::ResidPost(0), Site::ResidPost(1)];

/// A shelf that remembers its calls.
#[derive(Debug, Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn add(&self, note: String) -> Result<(), ApiError> {
        let mut notes = self.0.lock().unwrap();
        if notes.iter().any(|n| n == "broken") {
            return Err(ApiError::new(Code::Internal, "disk full"));
        }
        notes.push(note);
        Ok(())
    }
}

impl Repository for Notes {
    fn put_vector(&self, vector: &StoredVector) -> Result<(), ApiError> {
        self.add(format!("put {}", vector.id))
    }

    fn delete_vector(&self, id: &str) -> Result<(), ApiError> {
        self.add(format!("delete {id}"))
    }

    fn put_settings(&self, settings: &StoredSettings) -> Result<(), ApiError> {
        self.add(format!("settings {}", settings.version))
    }
}

/// A server with these vectors: `calm` adds at two sites, `one` at one, `out` projects, `turn` rotates, `null` had no
/// effect, `sense` only reads, `bare` has no anchor, `tail` acts on the prompt's last token, `deep` on block 2.
fn served(frame: SteeredModel, setup: Setup, shelf: impl Repository + 'static) -> Steering {
    let steering = Steering::new(frame, setup, shelf);
    let no_anchor = |card: &mut Card| {
        card.sites.values_mut().for_each(|site| site.anchor = None);
    };
    let all = UploadQuery { allow_null: Some(true), ..UploadQuery::default() };
    for (id, bytes) in [
        ("calm", adding(&TWO)),
        ("one", adding(&[Site::ResidPost(1)])),
        ("deep", adding(&[Site::ResidPost(2)])),
        ("out", file(|_| {}, Operation::Project, &TWO)),
        ("turn", file(|_| {}, Operation::Rotate { degrees: 10.0 }, &TWO)),
        ("null", file(|card| card.status = Status::Null, Operation::Add, &TWO)),
        ("sense", file(|card| card.role = Role::Read, Operation::Add, &[Site::ResidPost(0)])),
        ("bare", file(no_anchor, Operation::Add, &[Site::ResidPost(0)])),
        ("tail", file(|card| card.scope = "last".parse().unwrap(), Operation::Add, &TWO)),
    ] {
        steering.upload(id, bytes, &all).unwrap();
    }
    steering
}

fn server() -> Steering {
    served(frame(), Setup::default(), super::NoRepository)
}

fn read(text: &str) -> wire::steering::Steering {
    wire::read(text.as_bytes()).unwrap()
}

fn resolve(steering: &Steering, text: &str) -> Result<super::Resolved, ApiError> {
    steering.now().resolve(Some(&read(text)), None, Some(&PROMPT))
}

/// What a refusal says to programs.
fn told(refusal: &ApiError) -> (u16, Code, &str) {
    (refusal.status.as_u16(), refusal.code, refusal.param.as_deref().unwrap_or_default())
}

fn put(steering: &Steering, text: &str) -> Result<wire::vector::SteeringObject, ApiError> {
    steering.put_settings(wire::read(text.as_bytes()).unwrap())
}

/// A folder that is removed when it goes out of scope.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("trimtab-steer-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
