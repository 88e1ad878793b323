//! One refusal per field of a native file, with the code and the pointer it must have.

use super::{Folder, adding, bytes, card, one_hot};
use crate::direction::Direction;
use crate::error::Error;
use crate::file::VectorFile;
use crate::file::card::{Card, Operation, Role, Status};
use serde_json::{Value, json};
use std::io::Write;
use trimtab_runtime::site::Site;

/// The golden's header and data.
fn parts() -> (Value, Vec<u8>) {
    let bytes = bytes("native.safetensors");
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    (serde_json::from_slice(&bytes[8..8 + length]).unwrap(), bytes[8 + length..].to_vec())
}

fn joined(container: &Value, data: &[u8]) -> Vec<u8> {
    let json = container.to_string();
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json.as_bytes());
    bytes.extend(data);
    bytes
}

/// The golden with its header changed.
fn with_header(change: impl FnOnce(&mut Value)) -> Result<VectorFile, Error> {
    let (mut container, data) = parts();
    let text = container["__metadata__"]["trimtab"].as_str().unwrap();
    let mut header: Value = serde_json::from_str(text).unwrap();
    change(&mut header);
    container["__metadata__"]["trimtab"] = header.to_string().into();
    VectorFile::from_bytes(&joined(&container, &data))
}

/// The golden with its container changed.
fn with_container(change: impl FnOnce(&mut Value, &mut Vec<u8>)) -> Error {
    let (mut container, mut data) = parts();
    change(&mut container, &mut data);
    VectorFile::from_bytes(&joined(&container, &data)).unwrap_err()
}

/// A field by its JSON pointer, without the first slash.
fn at<'a>(header: &'a mut Value, pointer: &str) -> &'a mut Value {
    if pointer.is_empty() {
        return header;
    }
    header.pointer_mut(&format!("/{pointer}")).unwrap()
}

fn refused(pointer: &str, value: Value) -> Error {
    with_header(|header| *at(header, pointer) = value).unwrap_err()
}

#[test]
fn the_golden_itself_is_fine() {
    with_header(|_| {}).unwrap();
}

#[test]
fn every_field_is_needed_and_named() {
    let (container, _) = parts();
    let mut header: Value =
        serde_json::from_str(container["__metadata__"]["trimtab"].as_str().unwrap()).unwrap();
    let objects = ["", "scale", "model", "method", "data", "evaluation", "operation"];
    let nested = ["sites/resid_post.2", "evaluation/response/0"];
    let mut count = 0;
    for parent in objects.iter().chain(&nested) {
        for field in at(&mut header, parent).as_object().unwrap().keys() {
            let error = with_header(|header| {
                at(header, parent).as_object_mut().unwrap().remove(field);
            });
            let text = error.expect_err(field).to_string();
            assert!(text.contains(&format!("{parent}/{field} is missing")), "{text}");
            count += 1;
        }
    }
    assert_eq!(count, 59, "{count} fields were tried");
}

#[test]
fn unknown_fields_are_named_at_every_level() {
    let parents = [
        "",
        "scale",
        "scope",
        "model",
        "method",
        "data",
        "evaluation",
        "operation",
        "sites/resid_post.2",
    ];
    for parent in parents {
        let error = with_header(|header| {
            let parent = at(header, parent).as_object_mut().unwrap();
            parent.insert("surprise".to_owned(), json!(1));
        });
        let text = error.unwrap_err().to_string();
        assert!(text.contains(&format!("{parent}/surprise is no field")), "{text}");
    }
}

#[test]
fn a_field_of_the_wrong_kind_is_named() {
    let wrong = [
        ("format", json!("trimtab.adapter")),
        ("name", json!("")),
        ("name", json!("x".repeat(65))),
        ("name", json!("two\nlines")),
        ("summary", json!("x".repeat(401))),
        ("role", json!("sing")),
        ("status", json!("fine")),
        ("rank", json!("1")),
        ("sites/resid_post.2/magnitude", json!(null)),
        ("sites/resid_post.2/magnitude", json!(0)),
        ("sites/resid_post.2/magnitude", json!(1e39)),
        ("sites/resid_post.2/stream_norm", json!(-1)),
        ("sites/resid_post.2/auc", json!(1.5)),
        ("scale/default", json!("much")),
        ("scale/safe", json!([1.0])),
        ("scale/safe", json!([0.5, 2.0])),
        ("scope", json!({})),
        ("scope/prompt", json!("half")),
        ("scope", json!({"prompt_window": [1]})),
        ("sign", json!("negative_minus_positive")),
        ("model/d_model", json!(-8)),
        ("model/weights_sha256", json!("90BE")),
        ("model/template_sha256", json!("x")),
        ("model/pinned", json!("glued")),
        ("method/name", json!("magic")),
        ("method/position", json!("somewhere")),
        ("method/params/alpha", json!([1])),
        ("data/sha256", json!("3b1c")),
        ("evaluation/set_sha256", json!(7)),
        ("evaluation/response/0/kl", json!("low")),
        ("content_sha256", json!("f911")),
    ];
    for (pointer, value) in wrong {
        let error = refused(pointer, value.clone());
        assert_eq!(error.code(), "header_invalid", "{pointer} {value}: {error}");
        assert_eq!(error.to_string().find(pointer), Some(1), "{pointer} {value}: {error}");
    }
}

#[test]
fn what_a_reader_does_not_understand_stops_it() {
    let unknown = refused("operation", json!({"kind": "multiply"}));
    assert_eq!(unknown.code(), "operation_unknown");
    assert!(unknown.to_string().contains("operation/kind is multiply, expected add, project"));
    for spec in [json!(2), json!("1"), json!(-1), json!(null)] {
        assert_eq!(refused("spec", spec).code(), "spec_unsupported");
    }
    let renamed = |name: &str| {
        with_header(|header| {
            let sites = header["sites"].as_object_mut().unwrap();
            let entry = sites.remove("resid_post.2").unwrap();
            sites.insert(name.to_owned(), entry);
        })
        .unwrap_err()
    };
    assert_eq!(renamed("resid_pre.3").code(), "site_unknown");
    assert!(renamed("resid_pre.3").to_string().contains("resid_post.2"));
    assert_eq!(renamed("blocks.2").code(), "site_unknown");
    assert_eq!(renamed("resid_post.02").code(), "header_invalid");
    assert_eq!(renamed("resid_post.3").code(), "tensor_mismatch");
}

#[test]
fn tensors_must_be_what_the_header_says() {
    assert_eq!(refused("rank", json!(2)).code(), "tensor_mismatch");
    assert_eq!(refused("model/d_model", json!(16)).code(), "tensor_mismatch");
    assert_eq!(refused("model/n_layers", json!(10)).code(), "tensor_mismatch");
    assert_eq!(refused("content_sha256", json!("0".repeat(64))).code(), "content_hash_mismatch");
    let dropped = with_header(|header| {
        header["sites"].as_object_mut().unwrap().remove("resid_post.2");
    });
    assert_eq!(dropped.unwrap_err().code(), "tensor_mismatch");
    let dtype = with_container(|container, _| container["resid_post.2"]["dtype"] = json!("F16"));
    assert!(dtype.to_string().contains("tensor resid_post.2 is stored as F16, expected F32"));
    let shape = with_container(|container, _| container["resid_post.2"]["shape"] = json!([8]));
    assert_eq!(shape.code(), "tensor_mismatch");
    let shape = with_container(|container, _| container["resid_post.2"]["shape"] = json!([1, 9]));
    assert_eq!(shape.code(), "tensor_mismatch");
    let huge = json!([u64::MAX, u64::MAX]);
    assert_eq!(with_container(|c, _| c["resid_post.2"]["shape"] = huge).code(), "tensor_mismatch");
    let overlap = with_container(|container, _| {
        container["resid_post.2"]["data_offsets"] =
            container["resid_post.1"]["data_offsets"].clone();
    });
    assert_eq!(overlap.code(), "tensor_mismatch");
    let outside = with_container(|container, _| {
        container["resid_post.2"]["data_offsets"] = json!([1_u64 << 40, (1_u64 << 40) + 32]);
    });
    assert_eq!(outside.code(), "tensor_mismatch");
    assert_eq!(with_container(|_, data| data.push(0)).code(), "not_a_vector_file");
    assert_eq!(with_container(|_, data| data.truncate(90)).code(), "not_a_vector_file");
}

#[test]
fn values_must_be_finite_and_of_unit_length() {
    let first =
        |value: f32| with_container(|_, data| data[..4].copy_from_slice(&value.to_le_bytes()));
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(first(value).code(), "not_finite");
    }
    assert_eq!(first(3.0).code(), "not_unit_norm");
    // Within the tolerance of length, and still not the data that was hashed.
    assert_eq!(first(0.6001).code(), "content_hash_mismatch");
}

#[test]
fn huge_claims_are_refused_before_anything_is_read() {
    let folder = Folder::new();
    let mut claim = (2_u64 << 30).to_le_bytes().to_vec();
    claim.extend(b"{\"__metadata__\":{}}");
    let path = folder.file("claim.safetensors", &claim);
    let error = VectorFile::open(&path).unwrap_err();
    assert_eq!(error.code(), "file_too_large");
    let text = error.to_string();
    assert!(text.contains("safetensors header is 2147483648 bytes long"), "{text}");
    assert!(text.starts_with(&path.display().to_string()), "the file is named: {text}");
    // A sparse file: it has this size and takes no space.
    let sparse = folder.0.join("sparse.safetensors");
    std::fs::File::create(&sparse).unwrap().set_len(3 << 30).unwrap();
    assert_eq!(VectorFile::open(&sparse).unwrap_err().code(), "file_too_large");
    let long = with_container(|c, _| c["__metadata__"]["trimtab"] = " ".repeat(2 << 20).into());
    assert_eq!(long.code(), "file_too_large");
}

#[test]
fn containers_that_are_no_vector_file_are_refused() {
    let read = |bytes: &[u8]| VectorFile::from_bytes(bytes).unwrap_err().code();
    assert_eq!(read(b""), "not_a_vector_file");
    assert_eq!(read(b"\x09\0\0\0\0\0\0\0{}"), "not_a_vector_file");
    assert_eq!(read(b"\x02\0\0\0\0\0\0\0{}"), "not_a_vector_file");
    assert_eq!(read(b"\x02\0\0\0\0\0\0\0]["), "header_invalid");
    assert_eq!(read(&bytes("repeng.gguf")), "not_a_vector_file");
    let two = with_container(|container, _| container["__metadata__"]["more"] = json!("x"));
    assert_eq!(two.code(), "header_invalid");
    let folder = Folder::new();
    assert_eq!(VectorFile::open(&folder.0).unwrap_err().code(), "not_a_vector_file");
    assert_eq!(VectorFile::open(&folder.0.join("none")).unwrap_err().code(), "io");
}

#[test]
fn a_key_that_comes_twice_is_refused() {
    let (mut container, data) = parts();
    let text = container["__metadata__"]["trimtab"].as_str().unwrap();
    let twice = text.replacen("{", "{\"name\":\"other\",", 1);
    container["__metadata__"]["trimtab"] = twice.into();
    let error = VectorFile::from_bytes(&joined(&container, &data)).unwrap_err();
    assert!(error.to_string().contains("\"name\" appears twice"), "{error}");
    // The same among tensors: a later one must not replace an earlier one.
    let mut bytes = Vec::new();
    let json = r#"{"resid_post.1":{},"resid_post.1":{}}"#;
    bytes.write_all(&(json.len() as u64).to_le_bytes()).unwrap();
    bytes.write_all(json.as_bytes()).unwrap();
    assert_eq!(VectorFile::from_bytes(&bytes).unwrap_err().code(), "header_invalid");
}

#[test]
fn a_card_that_contradicts_itself_makes_no_file() {
    let refused = |change: fn(&mut Card)| {
        let directions = vec![one_hot(Site::ResidPost(1), 4, 0)];
        let mut card = card(Operation::Add, &directions);
        change(&mut card);
        VectorFile::new(card, directions).unwrap_err().to_string().replacen('/', "", 1)
    };
    assert!(refused(|c| c.status = Status::Measured).starts_with("status is measured without"));
    assert!(refused(|c| c.scale.default = f32::NAN).starts_with("scale/default"));
    assert!(refused(|c| c.operation = Operation::Rotate { degrees: f32::NAN }).contains("degrees"));
    assert!(
        refused(|c| c.operation = Operation::Clamp { min: Some(1.0), max: Some(0.0) })
            .starts_with("operation")
    );
    assert!(
        refused(|c| c.operation = Operation::Clamp { min: None, max: None })
            .starts_with("operation")
    );
    let anchorless = |c: &mut Card| c.sites.values_mut().for_each(|entry| entry.anchor = None);
    let directions = vec![one_hot(Site::ResidPost(1), 4, 0)];
    for (operation, role) in [
        (Operation::Clamp { min: Some(0.0), max: None }, Role::Steer),
        (Operation::Add, Role::Read),
    ] {
        let mut card = Card { role, ..card(operation, &directions) };
        assert!(VectorFile::new(card.clone(), directions.clone()).is_ok());
        anchorless(&mut card);
        let error = VectorFile::new(card, directions.clone()).unwrap_err().to_string();
        assert!(error.contains("sites/resid_post.1/anchor is null"), "{error}");
    }
    assert!(
        refused(|c| c.sites.values_mut().for_each(|e| e.row_scale = vec![1.0]))
            .contains("row_scale")
    );
    let note = |c: &mut Card| drop(c.extra.insert("a".to_owned(), "x".repeat(16 << 10)));
    assert!(refused(note).starts_with("extra"));
    assert!(VectorFile::new(card(Operation::Add, &[]), Vec::new()).is_err());
}

#[test]
fn rows_belong_to_projections_and_stand_at_right_angles() {
    let site = Site::ResidPost(1);
    let square = Direction::new(site, 2, vec![1.0, 0.0, 0.0, 1.0]).unwrap();
    let bent = Direction::new(site, 2, vec![1.0, 0.0, 0.6, 0.8]).unwrap();
    let make = |operation, direction: &Direction| {
        let directions = vec![direction.clone()];
        VectorFile::new(card(operation, &directions), directions)
    };
    let file = make(Operation::Project, &square).unwrap();
    assert_eq!(VectorFile::from_bytes(&file.to_bytes().unwrap()).unwrap(), file);
    assert_eq!(make(Operation::Add, &square).unwrap_err().code(), "tensor_mismatch");
    assert_eq!(make(Operation::Project, &bent).unwrap_err().code(), "tensor_mismatch");
    let twice = vec![one_hot(site, 2, 0), one_hot(site, 2, 1)];
    let error = VectorFile::new(card(Operation::Add, &twice), twice).unwrap_err();
    assert_eq!(error.code(), "tensor_mismatch");
}

#[test]
fn every_operation_and_odd_number_round_trips() {
    for operation in [
        Operation::Add,
        Operation::Project,
        Operation::Clamp { min: Some(-0.1), max: None },
        Operation::Rotate { degrees: 33.3 },
    ] {
        let directions = vec![one_hot(Site::ResidPost(1), 4, 0), one_hot(Site::Embed, 4, 1)];
        let mut card = card(operation, &directions);
        for (seed, entry) in card.sites.values_mut().enumerate() {
            entry.magnitude = Some(f32::from_bits(0x3f9e_0419 + 7_654_321 * seed as u32));
            entry.anchor = Some(-1.0 / 3.0);
        }
        let file = VectorFile::new(card, directions).unwrap();
        let bytes = file.to_bytes().unwrap();
        let back = VectorFile::from_bytes(&bytes).unwrap();
        assert_eq!(back, file);
        assert_eq!(back.to_bytes().unwrap(), bytes);
    }
    assert!(adding(&[Site::Final], 4).is_ok());
}

#[test]
fn keys_are_sorted_whatever_the_operation() {
    for operation in [
        Operation::Project,
        Operation::Clamp { min: Some(-0.25), max: Some(0.5) },
        Operation::Rotate { degrees: 33.5 },
    ] {
        let directions =
            vec![one_hot(Site::ResidPost(2), 4, 0), one_hot(Site::ResidPost(10), 4, 1)];
        let mut card = card(operation, &directions);
        card.extra.insert("note".to_owned(), "x".to_owned());
        if operation == Operation::Project {
            card.sites.values_mut().for_each(|entry| entry.row_scale = vec![0.5]);
        }
        let header = VectorFile::new(card, directions).unwrap().header().unwrap();
        // Every number here is the same in f32 and f64, so the text must come back as it was.
        let mut sorted: Value = serde_json::from_str(&header).unwrap();
        sorted.sort_all_objects();
        assert_eq!(sorted.to_string(), header);
    }
}
