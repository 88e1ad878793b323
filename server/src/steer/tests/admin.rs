//! Vectors come and go, presets and default change, and what was stored comes back.

use super::{Folder, Notes, TWO, adding, file, frame, put, served, server, told};
use crate::steer::admin::Registered;
use crate::steer::{NoRepository, Setup, Steering, StoredVector};
use crate::wire;
use crate::wire::error::Code;
use crate::wire::vector::{Check, LoadVector, UploadQuery};
use trimtab_runtime::site::Site;
use trimtab_steering::file::card::{Card, Operation, Status};
use trimtab_steering::file::sha256;
use trimtab_steering::steer::NullVectors;

fn empty() -> Steering {
    Steering::new(frame(), Setup::default(), NoRepository)
}

fn upload(steering: &Steering, id: &str, bytes: &[u8]) -> Result<Registered, (u16, Code, String)> {
    steering.upload(id, bytes.to_vec(), &UploadQuery::default()).map_err(|e| {
        let (status, code, param) = told(&e);
        (status, code, param.to_owned())
    })
}

#[test]
fn an_upload_is_made_known_or_refused() {
    let steering = empty();
    let bytes = adding(&TWO);
    let Ok(Registered::Created(object)) = upload(&steering, "calm", &bytes) else { panic!() };
    assert_eq!((object.id.as_str(), object.sha256.as_str()), ("calm", sha256(&bytes).as_str()));
    assert_eq!((object.bytes, object.rank), (bytes.len() as u64, 1));
    assert_eq!(object.sites, ["resid_post.0", "resid_post.1"]);
    assert!((object.dose_per_unit["resid_post.1"] - 0.2).abs() < 1e-6);
    assert_eq!((object.model_match.as_str(), object.status.as_str()), ("exact", "unmeasured"));
    assert!(matches!(upload(&steering, "calm", &bytes), Ok(Registered::Known(_))));
    let other = adding(&[Site::ResidPost(2)]);
    let refused = |id: &str, bytes: &[u8]| upload(&steering, id, bytes).map(drop).unwrap_err();
    assert_eq!(refused("calm", &other), (409, Code::IdInUse, "id".to_owned()));
    for id in ["", "a/b", "../a", ".a", "a b", "é", &"a".repeat(65)] {
        assert_eq!(refused(id, &bytes), (400, Code::InvalidValue, "id".to_owned()), "{id}");
    }
    assert_eq!(refused("x", b"GGUF...."), (400, Code::NotAVectorFile, "file".to_owned()));
    let null = file(|card| card.status = Status::Null, Operation::Add, &TWO);
    assert_eq!(refused("x", &null), (400, Code::StatusNull, "file".to_owned()));
    let foreign = file(|card| card.model = Some(super::pin("0123abcd")), Operation::Add, &TWO);
    assert_eq!(refused("x", &foreign), (422, Code::ModelMismatch, "file".to_owned()));
    let wide = file(
        |card: &mut Card| card.model.as_mut().unwrap().n_layers = 5,
        Operation::Add,
        &[Site::ResidPost(4)],
    );
    assert!(matches!(refused("x", &wide).0, 400 | 422));
    let accepted = UploadQuery { accept_model: Some("0123abcd0123".to_owned()), allow_null: None };
    let made = steering.upload("x", foreign, &accepted).unwrap();
    let Registered::Created(object) = made else { panic!() };
    assert_eq!(
        (object.model_match.as_str(), object.warnings),
        ("accepted", vec!["model_differs".to_owned()])
    );
    let small = Steering::new(frame(), Setup { upload_limit: 8, ..Setup::default() }, NoRepository);
    assert_eq!(upload(&small, "x", &bytes).unwrap_err().0, 413);
}

#[test]
fn a_warning_follows_its_vector_into_every_receipt() {
    let steering = empty();
    let foreign = file(|card| card.model = Some(super::pin("0123abcd")), Operation::Add, &TWO);
    let accepted = UploadQuery { accept_model: Some("0123abcd0123".to_owned()), allow_null: None };
    steering.upload("x", foreign, &accepted).unwrap();
    let resolved = super::resolve(&steering, r#"{"vectors":[{"id":"x"},{"id":"x"}]}"#).unwrap();
    assert_eq!(resolved.warnings, ["model_differs"]);
}

#[test]
fn a_file_is_loaded_from_the_folder_of_vectors() {
    let folder = Folder::new();
    let bytes = adding(&TWO);
    std::fs::write(folder.0.join("calm.safetensors"), &bytes).unwrap();
    let setup = Setup { vector_root: Some(folder.0.clone()), ..Setup::default() };
    let steering = Steering::new(frame(), setup, NoRepository);
    let asked = LoadVector {
        id: "calm".to_owned(),
        source: "file:calm.safetensors".to_owned(),
        sha256: Some(sha256(&bytes)),
        ..LoadVector::default()
    };
    assert!(matches!(steering.load(&asked), Ok(Registered::Created(_))));
    let refused = |asked: LoadVector| told(&steering.load(&asked).map(drop).unwrap_err()).1;
    let other = |source: &str| LoadVector { source: source.to_owned(), ..asked.clone() };
    assert_eq!(refused(other("hub:a/b")), Code::SourceDisabled);
    assert_eq!(refused(other("file:/etc/passwd")), Code::InvalidValue);
    assert_eq!(refused(other("file:none")), Code::VectorNotFound);
    assert_eq!(
        refused(LoadVector { sha256: Some("0".repeat(64)), ..asked.clone() }),
        Code::ContentHashMismatch
    );
}

#[test]
fn one_load_at_a_time() {
    let steering = empty();
    let loading = steering.load.lock().unwrap();
    let refusal = steering.upload("calm", adding(&TWO), &UploadQuery::default()).unwrap_err();
    assert_eq!(told(&refusal), (429, Code::Busy, ""));
    assert_eq!(refusal.retry_after, Some(1));
    drop(loading);
    assert!(upload(&steering, "calm", &adding(&TWO)).is_ok());
}

#[test]
fn what_is_named_is_not_deleted() {
    let steering = server();
    put(&steering, r#"{"expected_version":0,"default":{"vectors":[{"id":"calm"}]},
        "presets":{"p":{"vectors":[{"id":"one","gate":{"kind":"above","vector":"sense","threshold":0}}]}}}"#)
        .unwrap();
    for id in ["calm", "one", "sense"] {
        assert_eq!(told(&steering.delete(id).unwrap_err()), (409, Code::InUse, "id"), "{id}");
    }
    assert_eq!(told(&steering.delete("clam").unwrap_err()), (404, Code::VectorNotFound, "id"));
    steering.delete("out").unwrap();
    assert!(steering.describe("out").is_err());
    put(&steering, r#"{"expected_version":1}"#).unwrap();
    steering.delete("calm").unwrap();
    assert_eq!(steering.list().data.len(), 7);
}

#[test]
fn what_is_not_stored_is_not_in_force() {
    let notes = Notes::default();
    let steering = served(frame(), Setup::default(), notes.clone());
    put(&steering, r#"{"expected_version":0,"presets":{"p":{}}}"#).unwrap();
    steering.delete("out").unwrap();
    let calls = notes.0.lock().unwrap().clone();
    assert_eq!(calls.len(), 11);
    assert_eq!(calls[9..], ["settings 1", "delete out"]);
    notes.0.lock().unwrap().push("broken".to_owned());
    assert_eq!(put(&steering, r#"{"expected_version":1}"#).unwrap_err().status, 500);
    assert_eq!(steering.delete("calm").unwrap_err().status, 500);
    assert_eq!(
        steering.upload("new", adding(&TWO), &UploadQuery::default()).unwrap_err().status,
        500
    );
    assert_eq!((steering.settings().version, steering.presets()), (1, vec!["p".to_owned()]));
    assert!(steering.describe("calm").is_ok() && steering.describe("new").is_err());
}

#[test]
fn what_was_stored_comes_back() {
    let first = server();
    let settings = r#"{"expected_version":0,"default":{"vectors":[{"id":"calm"}]},"locked":true}"#;
    put(&first, settings).unwrap();
    let foreign = file(|card| card.model = Some(super::pin("0123abcd")), Operation::Add, &TWO);
    let stored = |id: &str, bytes: Vec<u8>, accept: Option<&str>| StoredVector {
        id: id.to_owned(),
        sha256: sha256(&bytes),
        bytes,
        source: None,
        accept_model: accept.map(str::to_owned),
        null: NullVectors::Refuse,
    };
    let second = empty();
    let left_out = second.restore(
        vec![
            stored("calm", adding(&TWO), None),
            stored("x", foreign.clone(), Some("0123abcd0123")),
            stored("y", foreign, None),
        ],
        Some(first.state().settings.clone()),
    );
    assert_eq!(left_out.len(), 1);
    assert_eq!((left_out[0].0.as_str(), left_out[0].1.code), ("y", Code::ModelMismatch));
    assert_eq!(second.settings(), first.settings());
    let plan = |steering: &Steering| {
        steering.now().resolve(None, None, Some(&super::PROMPT)).unwrap().lowered.plan.fingerprint()
    };
    assert_eq!(plan(&second), plan(&first));
    // A default whose vector is gone steers and serves no request.
    let third = empty();
    third.restore(Vec::new(), Some(first.state().settings.clone()));
    let refusal = third.now().resolve(None, None, Some(&super::PROMPT)).unwrap_err();
    assert_eq!(told(&refusal), (404, Code::VectorNotFound, "steering"));
}

#[test]
fn a_check_says_what_would_be_done() {
    let steering = server();
    let check = |text: &str| {
        let check: Check = wire::read(format!(r#"{{"steering":{text}}}"#).as_bytes()).unwrap();
        steering.check(&check)
    };
    let checked =
        check(r#"{"vectors":[{"id":"calm","scale":0.8},{"id":"one","scale":0.3}]}"#).unwrap();
    assert!(checked.ok);
    // Both push along other axes at block 1: 1.6 and 0.6 in a stream of 10.
    let expected = (1.6_f64.powi(2) + 0.6_f64.powi(2)).sqrt() / 10.0;
    assert!((checked.dose["resid_post.1"] - expected).abs() < 1e-6, "{:?}", checked.dose);
    assert_eq!(
        checked.resolved.vectors.unwrap()[0].op,
        Some(trimtab_steering::file::card::OperationKind::Add)
    );
    // Without a prompt, nothing is said about one.
    assert!(check(r#"{"vectors":[{"id":"calm","apply":{"prompt_positions":[40]}}]}"#).is_ok());
    let refusal = check(r#"{"vectors":[{"id":"clam"}]}"#).unwrap_err();
    assert_eq!(told(&refusal), (404, Code::VectorNotFound, "steering.vectors[0].id"));
}

#[test]
fn a_frame_is_what_vectors_are_held_against() {
    let folder = Folder::new();
    trimtab_runtime::testing::tiny::write(&folder.0).unwrap();
    let model = trimtab_runtime::Model::open(&folder.0.display().to_string()).unwrap();
    let frame = trimtab_steering::spec::SteeredModel::of(&model).unwrap();
    // A model of token ids only: nothing to measure the stream on, so the cards' lengths count.
    assert!(frame.norms.is_empty() && frame.tokenizer.is_none());
    let (pin, weights) = (frame.pin.clone(), model.identity().weights_sha256.clone());
    assert_eq!((pin.d_model, pin.n_layers, &pin.weights_sha256), (16, 3, &weights));
    let steering = Steering::new(frame, Setup::default(), NoRepository);
    assert_eq!(upload(&steering, "calm", &adding(&TWO)).unwrap_err().1, Code::ModelMismatch);
    let own = file(
        |card| {
            card.model = Some(pin);
            card.sites.values_mut().for_each(|site| site.stream_norm = Some(4.0));
        },
        Operation::Add,
        &TWO,
    );
    let Ok(Registered::Created(object)) = upload(&steering, "calm", &own) else { panic!() };
    assert!((object.dose_per_unit["resid_post.0"] - 0.5).abs() < 1e-6);
    assert!(super::resolve(&steering, r#"{"vectors":[{"id":"calm"}]}"#).is_ok());
    // A rest needs text, and here is none.
    let paused = r#"{"vectors":[{"id":"calm","pause_in":["code"]}]}"#;
    let refusal = super::resolve(&steering, paused).unwrap_err();
    assert_eq!(told(&refusal), (400, Code::InvalidValue, "steering.vectors[0].pause_in"));
}
