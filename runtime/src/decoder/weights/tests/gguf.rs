//! The GGUF reader against hand-built bytes: what it reads, and what it refuses with which words.

use candle_core::{DType, Device};

use super::super::gguf::{Fault, Flaw, Place, parse};
use super::super::metadata::Value;
use super::super::{Error, Loaded, StoredType, Weights};
use super::{File, Scratch, array, contains, refusal, text};

fn flaw(file: &File) -> Flaw {
    parse(&file.bytes()).err().unwrap()
}

#[track_caller]
fn refused(file: &File, place: Place, fault: Fault) {
    assert_eq!(flaw(file), Flaw { place, fault });
}

fn key(name: &str) -> Place {
    Place::Key(name.to_owned())
}

fn tensor(name: &str) -> Place {
    Place::Tensor(name.to_owned())
}

#[test]
fn both_versions_read_the_same() {
    for version in [2, 3] {
        let mut file = File::new().entry("a.n", 4, &7u32.to_le_bytes()).f32s(
            "w",
            &[4, 2],
            &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
        );
        file.version = version;
        let read = parse(&file.bytes()).ok().unwrap();
        assert_eq!(read.metadata.integer("a.n"), Ok(Some(7)));
        // ggml counts dimensions from the innermost; ours begin with the outermost.
        assert_eq!(read.tensors[0].entry.shape, [2, 4]);
        assert_eq!(read.tensors[0].entry.bytes, 32);
    }
}

#[test]
fn a_file_may_end_behind_its_header() {
    let bytes = File::new().entry("k", 7, &[1]).bytes();
    let read = parse(&bytes[..24 + 9 + 4 + 1]).ok().unwrap();
    assert_eq!(read.metadata.flag("k"), Ok(Some(true)));
    assert!(read.tensors.is_empty());
}

#[test]
fn a_nan_in_the_metadata_is_kept() {
    let file = File::new().entry("eps", 6, &f32::NAN.to_le_bytes());
    let read = parse(&file.bytes()).ok().unwrap();
    assert!(matches!(read.metadata.value("eps"), Some(Value::Float(x)) if x.is_nan()));
}

#[test]
fn other_formats_are_refused_by_what_they_are() {
    let mut file = File::new();
    file.magic = *b"GGML";
    let found = b"GGML".to_vec();
    refused(&file, Place::Header, Fault::Magic { found });
    file.magic = *b"GGUF";
    for version in [0, 1, 4, u32::MAX] {
        file.version = version;
        refused(&file, Place::Header, Fault::Version(version));
    }
    file.version = 3u32.swap_bytes();
    refused(&file, Place::Header, Fault::BigEndian);
    let empty = parse(b"").err().unwrap();
    assert_eq!(empty.fault, Fault::Magic { found: vec![] });
}

#[test]
fn counts_are_held_against_the_bytes_left() {
    for (at, each) in [(8, 32), (16, 13)] {
        for count in [2u64, 1 << 40, u64::MAX] {
            let mut bytes = File::new().bytes();
            bytes[at..at + 8].copy_from_slice(&count.to_le_bytes());
            let left = bytes.len() as u64 - 24;
            let flaw = parse(&bytes).err().unwrap();
            assert_eq!(flaw.fault, Fault::Count { count, each, left });
        }
    }
}

#[test]
fn broken_values_name_their_key() {
    let count = |count, each, left| Fault::Count { count, each, left };
    let cases: Vec<(u32, Vec<u8>, Fault)> = vec![
        (13, vec![], Fault::ValueType(13)),
        (7, vec![2], Fault::Boolean(2)),
        (8, [text("ab"), vec![]].concat()[..8].to_vec(), Fault::Truncated { needed: 2, left: 0 }),
        (8, [&2u64.to_le_bytes()[..], &[0xff, 0xfe]].concat(), Fault::NotUtf8),
        (9, array(9, 0, &[]), Fault::NestedArray),
        (9, array(99, 0, &[]), Fault::ValueType(99)),
        (9, array(8, 1 << 60, &[]), count(1 << 60, 8, 0)),
        (9, array(0, 3, &[1, 2]), count(3, 1, 2)),
        (9, array(10, 1, &u64::MAX.to_le_bytes()), Fault::Integer(u64::MAX.into())),
    ];
    for (kind, value, fault) in cases {
        let mut file = File::new().entry("some.key", kind, &value);
        file.alignment = 1;
        refused(&file, key("some.key"), fault);
    }
}

#[test]
fn keys_are_bounded_and_unique() {
    let file = File::new().entry(&"k".repeat(65537), 7, &[1]);
    let fault = Fault::TooLong { length: 65537, limit: 65536 };
    refused(&file, Place::Entry(0), fault);
    let file = File::new().entry("k", 7, &[1]).entry("k", 7, &[0]);
    refused(&file, key("k"), Fault::Duplicate);
}

#[test]
fn alignment_is_a_small_power_of_two() {
    for bad in [0u32, 3, 48, 1 << 17] {
        let file = File::new().entry("general.alignment", 4, &bad.to_le_bytes());
        refused(&file, key("general.alignment"), Fault::Alignment);
    }
    let file = File::new().entry("general.alignment", 8, &text("32"));
    refused(&file, key("general.alignment"), Fault::Alignment);
}

#[test]
fn impossible_shapes_name_their_tensor() {
    let cases: [(&[u64], u32, Fault); 6] = [
        (&[], 0, Fault::Rank(0)),
        (&[1; 5], 0, Fault::Rank(5)),
        (&[4, 0], 0, Fault::Dimensions(vec![4, 0])),
        (&[1 << 40, 1 << 40], 0, Fault::Dimensions(vec![1 << 40; 2])),
        (&[1 << 62], 0, Fault::Dimensions(vec![1 << 62])),
        (&[48], 2, Fault::Block { row: 48, dtype: StoredType::Q4_0, block: 32 }),
    ];
    for (dims, kind, fault) in cases {
        let mut file = File::new().describe("w", dims, kind, 0);
        file.data = vec![0; 64];
        refused(&file, tensor("w"), fault);
    }
}

#[test]
fn data_lies_inside_the_file_and_apart() {
    let with = |offset| {
        let mut file = File::new().describe("w", &[16], 0, offset);
        file.data = vec![0; 96];
        file
    };
    assert!(parse(&with(32).bytes()).is_ok());
    let misaligned = Fault::Misaligned { offset: 4, alignment: 32 };
    refused(&with(4), tensor("w"), misaligned);
    for offset in [64, 128, u64::MAX - 31] {
        let outside = Fault::Outside { offset, bytes: 64, size: 96 };
        refused(&with(offset), tensor("w"), outside);
    }
    let other = "v".to_owned();
    let file = with(0).describe("v", &[8], 0, 32);
    refused(&file, tensor("w"), Fault::Overlap { other });
    let file = with(0).describe("w", &[8], 0, 64);
    refused(&file, tensor("w"), Fault::Duplicate);
}

#[test]
fn an_odd_tensor_is_listed_and_fails_only_when_loaded() {
    let scratch = Scratch::new();
    let file = File::new()
        .tensor("a.odd", &[256], 23, &[1; 136])
        .tensor("b.new", &[3, 5], 77, &[2; 20])
        .f32s("c.good", &[2], &[1.5, -2.0]);
    let path = scratch.write("odd.gguf", file.bytes());
    let weights = Weights::open(&path).unwrap();
    let types: Vec<_> = weights.tensors().map(|t| t.dtype).collect();
    assert_eq!(types[0], StoredType::Unsupported("IQ4_XS"));
    assert_eq!(types[1], StoredType::Unknown(77));
    assert_eq!(weights.bytes("a.odd").unwrap(), [1; 136]);
    // The size of an unknown type is not known: the padding to the next tensor is counted in.
    assert_eq!(&weights.bytes("b.new").unwrap()[..20], [2; 20]);
    for (name, dtype) in [("a.odd", "IQ4_XS"), ("b.new", "GGML type 77")] {
        let error = weights.load(name, &Device::Cpu).unwrap_err().to_string();
        contains(&error, &[name, dtype, "odd.gguf"]);
    }
    let Loaded::Dense(good) = weights.load("c.good", &Device::Cpu).unwrap() else {
        panic!("f32 is dense");
    };
    assert_eq!(good.to_vec1::<f32>().unwrap(), [1.5, -2.0]);
    let error = weights.load("d", &Device::Cpu).unwrap_err();
    assert!(matches!(error, Error::NoTensor { .. }));
    weights.release_pages();
    assert_eq!(weights.bytes("a.odd").unwrap(), [1; 136]);
}

#[test]
fn data_at_odd_addresses_loads() {
    let scratch = Scratch::new();
    let mut file = File::new().entry("general.alignment", 4, &1u32.to_le_bytes());
    file.alignment = 1;
    // A block of Q4_0: an f16 scale of 1 and 32 nibbles of value 9, that is 9 - 8 = 1.
    let block = [&[0x00, 0x3c][..], &[0x99; 16]].concat();
    // Eight names of growing length move the data over every address modulo eight.
    for pad in 0..8 {
        let name = "q".repeat(pad + 1);
        let file = file.clone().tensor(&name, &[32], 2, &block).tensor(
            "z",
            &[1],
            0,
            &2.5f32.to_le_bytes(),
        );
        let path = scratch.write("odd.gguf", file.bytes());
        let weights = Weights::open(&path).unwrap();
        let Loaded::Quantised(q) = weights.load(&name, &Device::Cpu).unwrap() else {
            panic!("Q4_0 is quantised");
        };
        let values = q.dequantize(&Device::Cpu).unwrap();
        assert_eq!(values.to_vec1::<f32>().unwrap(), [1.0; 32]);
        let Loaded::Dense(z) = weights.load("z", &Device::Cpu).unwrap() else {
            panic!("f32 is dense");
        };
        assert_eq!((z.dtype(), z.to_vec1::<f32>().unwrap()), (DType::F32, vec![2.5]));
    }
}

#[test]
fn messages_name_file_place_and_expectation() {
    let scratch = Scratch::new();
    let mut file = File::new().describe("blk.0.w", &[16], 0, 4);
    file.data = vec![0; 96];
    let path = scratch.write("bad.gguf", file.bytes());
    contains(&refusal(&path), &["bad.gguf", "tensor blk.0.w", "offset is 4", "multiple of 32"]);
    contains(&refusal(&scratch.0.join("none.gguf")), &["none.gguf", "No such file"]);
    contains(&refusal(&scratch.write("empty.gguf", "")), &["empty.gguf", "magic"]);
}
