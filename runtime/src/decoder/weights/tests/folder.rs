//! Folders of safetensors: which files count, and what is refused.

use std::fmt::Write;

use super::{Scratch, contains, refusal};
use crate::decoder::weights::{StoredType, Weights};

/// A safetensors file of f32 vectors, one value each, written from the format's page.
fn shard(tensors: &[(&str, f32)]) -> Vec<u8> {
    let mut json = String::from("{\"__metadata__\":{\"format\":\"pt\"}");
    let mut data = Vec::new();
    for (name, value) in tensors {
        let (from, to) = (data.len(), data.len() + 4);
        write!(
            json,
            ",\"{name}\":{{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[{from},{to}]}}"
        )
        .unwrap();
        data.extend(value.to_le_bytes());
    }
    json.push('}');
    raw(&json, &data)
}

fn raw(json: &str, data: &[u8]) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), data].concat()
}

fn folder() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("config.json", "{\"model_type\":\"llama\"}");
    scratch
}

fn names(weights: &Weights) -> Vec<&str> {
    weights.tensors().map(|t| t.name.as_str()).collect()
}

#[test]
fn files_without_an_index_are_all_read() {
    let scratch = folder();
    scratch.write("b.safetensors", shard(&[("y", 2.0), ("x", 1.0)]));
    scratch.write("a.safetensors", shard(&[("z", 3.0)]));
    scratch.write(".hidden.safetensors", "no weights");
    let weights = Weights::open(&scratch.0).unwrap();
    assert_eq!(names(&weights), ["x", "y", "z"]);
    assert_eq!(weights.bytes("z").unwrap(), 3f32.to_le_bytes());
    assert_eq!(weights.config().unwrap()["model_type"], "llama");
    assert!(weights.metadata().is_none());
    let sizes = ["a.safetensors", "b.safetensors"]
        .map(|name| std::fs::metadata(scratch.0.join(name)).unwrap().len());
    assert_eq!(weights.file_bytes(), sizes.iter().sum::<u64>());
}

#[test]
fn one_model_file_wins_over_its_neighbours() {
    let scratch = folder();
    scratch.write("model.safetensors", shard(&[("x", 1.0)]));
    scratch.write("consolidated.safetensors", shard(&[("x", 9.0)]));
    let weights = Weights::open(&scratch.0).unwrap();
    assert_eq!(weights.bytes("x").unwrap(), 1f32.to_le_bytes());
}

#[test]
fn the_index_says_which_files_count() {
    let scratch = folder();
    scratch.write("s1.safetensors", shard(&[("x", 1.0)]));
    scratch.write("s2.safetensors", shard(&[("x", 2.0)]));
    let index = "{\"weight_map\":{\"x\":\"s2.safetensors\"}}";
    scratch.write("model.safetensors.index.json", index);
    let weights = Weights::open(&scratch.0).unwrap();
    assert_eq!(weights.bytes("x").unwrap(), 2f32.to_le_bytes());
    scratch.write("s2.safetensors", shard(&[("other", 2.0)]));
    contains(&refusal(&scratch.0), &["index.json", "tensor x", "s2.safetensors"]);
    std::fs::remove_file(scratch.0.join("s2.safetensors")).unwrap();
    contains(&refusal(&scratch.0), &["s2.safetensors", "No such file"]);
}

#[test]
fn the_index_cannot_leave_the_folder() {
    let scratch = folder();
    let inside = scratch.0.join("inside");
    std::fs::create_dir(&inside).unwrap();
    scratch.write("s.safetensors", shard(&[("x", 1.0)]));
    scratch.write("inside/config.json", "{}");
    let absolute = scratch.0.join("s.safetensors");
    let absolute = absolute.to_str().unwrap();
    for file in ["../s.safetensors", absolute, "a/s.safetensors", "..\\\\s.safetensors", "s.bin"] {
        let index = format!("{{\"weight_map\":{{\"x\":\"{file}\"}}}}");
        scratch.write("inside/model.safetensors.index.json", index);
        contains(&refusal(&inside), &["tensor x", "expected a plain"]);
    }
}

#[test]
fn a_tensor_has_one_home() {
    let scratch = folder();
    scratch.write("a.safetensors", shard(&[("x", 1.0)]));
    scratch.write("b.safetensors", shard(&[("x", 1.0)]));
    contains(&refusal(&scratch.0), &["tensor x", "a.safetensors", "b.safetensors"]);
    std::fs::remove_file(scratch.0.join("b.safetensors")).unwrap();
    let tensor = "\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}";
    scratch.write("a.safetensors", raw(&format!("{{{tensor},{tensor}}}"), &[0; 4]));
    contains(&refusal(&scratch.0), &["a.safetensors", "tensor x appears twice"]);
}

#[test]
fn broken_headers_are_refused() {
    let entry = |shape: &str, from: u64, to: u64| {
        format!("{{\"x\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[{from},{to}]}}}}")
    };
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![1, 2, 3], "3 bytes long, expected 8"),
        (u64::MAX.to_le_bytes().to_vec(), "at most 100000000"),
        (99u64.to_le_bytes().to_vec(), "8 bytes long, expected 107"),
        (raw("{", &[]), "EOF"),
        (raw(&entry("[1]", 0, 4), &[0; 3]), "long, expected"),
        (raw(&entry("[1]", 0, 4), &[0; 5]), "long, expected"),
        (raw(&entry("[2]", 0, 4), &[0; 4]), "inconsistent"),
        (raw(&entry("[1]", 4, 8), &[0; 8]), "inconsistent"),
        (raw(&entry("[4294967296,4294967296]", 0, 4), &[0; 4]), "inconsistent"),
        (raw(&entry("[1]", 0, u64::MAX), &[0; 4]), "inconsistent"),
    ];
    for (bytes, part) in cases {
        let scratch = folder();
        scratch.write("model.safetensors", bytes);
        contains(&refusal(&scratch.0), &["model.safetensors", part]);
    }
}

/// `SafeTensors::deserialize` adds the header's length to where the data ends; here the sum does not
/// fit, and a debug build of it panics.
#[test]
fn data_that_ends_at_the_last_address_is_refused() {
    let size = u64::MAX / 8;
    let entries: Vec<String> = (0..8)
        .map(|n| {
            let (from, to) = (n * size, (n + 1) * size);
            format!(
                "\"{n}\":{{\"dtype\":\"U8\",\"shape\":[{size}],\"data_offsets\":[{from},{to}]}}"
            )
        })
        .collect();
    let scratch = folder();
    let bytes = raw(&format!("{{{}}}", entries.join(",")), &[]);
    scratch.write("model.safetensors", bytes);
    contains(&refusal(&scratch.0), &["model.safetensors", "long, expected"]);
}

#[test]
fn foreign_types_are_listed() {
    let json = "{\"ids\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}}";
    let scratch = folder();
    scratch.write("model.safetensors", raw(json, &[0; 8]));
    let weights = Weights::open(&scratch.0).unwrap();
    assert_eq!(weights.entry("ids").unwrap().dtype, StoredType::Unsupported("I64"));
    let error = weights.load("ids", &candle_core::Device::Cpu).unwrap_err();
    contains(&error.to_string(), &["tensor ids", "I64"]);
}

#[test]
fn a_folder_needs_a_small_config_and_a_shard() {
    let scratch = Scratch::new();
    contains(&refusal(&scratch.0), &["config.json", "No such file"]);
    scratch.write("config.json", vec![b' '; (1 << 20) + 1]);
    contains(&refusal(&scratch.0), &["config.json", "1048577", "1048576"]);
    scratch.write("config.json", "{\"eps\": NaN}");
    contains(&refusal(&scratch.0), &["config.json", "line 1"]);
    scratch.write("config.json", "{}");
    contains(&refusal(&scratch.0), &["without *.safetensors"]);
}
