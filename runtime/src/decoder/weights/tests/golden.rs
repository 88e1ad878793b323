//! Files written by the `gguf` and `safetensors` Python packages (`scripts/golden_weights.py`).

use candle_core::{DType, Device};

use super::super::metadata::Value;
use super::super::{Loaded, StoredType, Weights};
use super::golden;

fn hash(set: &str) -> String {
    let text = std::fs::read_to_string(golden("hashes.json")).unwrap();
    let hashes: serde_json::Value = serde_json::from_str(&text).unwrap();
    hashes[set].as_str().unwrap().to_owned()
}

#[test]
fn every_type_dequantises_as_gguf_says() {
    let weights = Weights::open(&golden("quants.gguf")).unwrap();
    let expected = candle_core::safetensors::load(golden("quants.safetensors"), &Device::Cpu);
    let expected = expected.unwrap();
    assert_eq!(expected.len(), 13);
    for (name, expected) in expected {
        let entry = weights.entry(&name).unwrap();
        assert_eq!(format!("t.{}", entry.dtype), name);
        assert_eq!(entry.shape, expected.dims(), "{name}");
        let found = match weights.load(&name, &Device::Cpu).unwrap() {
            Loaded::Dense(tensor) => tensor.to_dtype(DType::F32).unwrap(),
            Loaded::Quantised(tensor) => tensor.dequantize(&Device::Cpu).unwrap(),
        };
        let (found, expected) =
            [found, expected].map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap()).into();
        let largest = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
        assert!(largest > 0.1, "{name} holds no values");
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() <= 1e-6 * largest, "{name}: {a} and {b}");
        }
    }
    let odd = weights.entry("t.odd").unwrap();
    assert_eq!(odd.dtype, StoredType::Unsupported("IQ4_XS"));
    assert_eq!((odd.shape.as_slice(), odd.bytes), ([1, 256].as_slice(), 136));
}

#[test]
fn every_kind_of_metadata_reads_as_written() {
    let weights = Weights::open(&golden("quants.gguf")).unwrap();
    let metadata = weights.metadata().unwrap();
    let expected = [
        ("k.u8", Value::Unsigned(200)),
        ("k.i8", Value::Signed(-100)),
        ("k.u16", Value::Unsigned(60000)),
        ("k.i16", Value::Signed(-30000)),
        ("k.u32", Value::Unsigned(4_000_000_000)),
        ("k.i32", Value::Signed(-2_000_000_000)),
        ("k.u64", Value::Unsigned((1 << 63) + 1)),
        ("k.i64", Value::Signed(-(1 << 62))),
        ("k.f32", Value::Float(0.5)),
        ("k.f64", Value::Float(0.1)),
        ("k.bool", Value::Bool(true)),
        ("k.text", Value::Text("größe\n".to_owned())),
        ("k.texts", Value::Texts(["a", "", "日本"].map(str::to_owned).to_vec())),
        ("k.integers", Value::Integers(vec![-1, 0, 7])),
        ("k.floats", Value::Floats(vec![0.25, -2.5])),
        ("k.bools", Value::Bools(vec![true, false])),
        ("general.architecture", Value::Text("llama".to_owned())),
    ];
    for (key, value) in expected {
        assert_eq!(metadata.value(key), Some(&value), "{key}");
    }
}

#[test]
fn a_set_split_by_gguf_opens() {
    let weights = Weights::open(&golden("split/tiny-00001-of-00003.gguf")).unwrap();
    let names: Vec<_> = weights.tensors().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["blk.0.a", "blk.0.b", "blk.0.c", "blk.0.d", "blk.0.e"]);
    let blocks = weights.metadata().unwrap().integer("llama.block_count");
    assert_eq!(blocks, Ok(Some(1)));
}

#[test]
fn hashes_agree_with_an_independent_reader() {
    for (set, path) in [
        ("quants", "quants.gguf"),
        ("split", "split/tiny-00001-of-00003.gguf"),
        ("sharded", "sharded"),
    ] {
        let weights = Weights::open(&golden(path)).unwrap();
        assert_eq!(weights.sha256(), hash(set), "{set}");
    }
}

#[test]
fn shards_written_by_safetensors_load() {
    let weights = Weights::open(&golden("sharded")).unwrap();
    for (name, dtype, shape) in [
        ("lm_head.weight", DType::F16, [65, 64].as_slice()),
        ("model.norm.weight", DType::F32, &[8]),
    ] {
        let Loaded::Dense(tensor) = weights.load(name, &Device::Cpu).unwrap() else {
            panic!("{name} is dense");
        };
        assert_eq!((tensor.dtype(), tensor.dims()), (dtype, shape));
    }
    assert_eq!(weights.config().unwrap()["hidden_size"], 8);
}
