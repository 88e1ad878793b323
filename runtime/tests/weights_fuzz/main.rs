//! Hostile weight files: the loader answers with a value or an error, never with a panic, and never
//! allocates out of proportion to the file.
//!
//! A binary of its own, because it brings an allocator that counts.

#![allow(clippy::unwrap_used)] // clippy spares test functions, but not the helpers of a test crate

mod alloc;

use std::path::{Path, PathBuf};

use alloc::{Counting, LARGEST};
use proptest::prelude::*;
use trimtab_runtime::decoder::weights::Weights;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes of one allocation per byte of file, and bytes that any file may cost (paths, read buffers,
/// messages).
const PER_BYTE: usize = 16;
const BASE: usize = 16 << 10;

fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/weights"));
    std::fs::read(folder.join(name)).unwrap()
}

/// A folder with a config, in which one file is replaced again and again.
struct Bench {
    folder: PathBuf,
    file: PathBuf,
    open: PathBuf,
}

impl Bench {
    fn gguf(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("model.gguf");
        Self { open: file.clone(), folder, file }
    }

    fn folder(name: &str) -> Self {
        let bench = Self::gguf(name);
        std::fs::write(bench.folder.join("config.json"), "{}").unwrap();
        Self { file: bench.folder.join("model.safetensors"), open: bench.folder.clone(), ..bench }
    }

    /// Opens the bytes and touches all that an open file offers. Returns whether it opened.
    fn run(&self, bytes: &[u8]) -> bool {
        std::fs::write(&self.file, bytes).unwrap();
        LARGEST.set(0);
        let opened = Weights::open(&self.open);
        let largest = LARGEST.get();
        let limit = bytes.len() * PER_BYTE + BASE;
        assert!(largest <= limit, "{largest} bytes for a file of {}", bytes.len());
        let weights = match opened {
            Ok(weights) => weights,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return false;
            }
        };
        for entry in weights.tensors() {
            assert_eq!(weights.bytes(&entry.name).unwrap().len(), entry.bytes);
            let loaded = weights.load(&entry.name, &candle_core::Device::Cpu);
            assert_eq!(loaded.is_ok(), entry.dtype.is_supported(), "{entry:?}");
        }
        assert_eq!(weights.sha256().len(), 64);
        true
    }
}

/// Numbers that break arithmetic.
fn absurd() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (0u32..64, 0u64..3).prop_map(|(bit, less)| (1u64 << bit).wrapping_sub(less)),
        0u64..1024,
    ]
}

/// The place in a GGUF file where its data begins, roughly: changes behind it change only values.
const HEADER: usize = 1160;

#[test]
fn truncated_gguf_files_are_refused() {
    let bench = Bench::gguf("truncated");
    let whole = golden("quants.gguf");
    assert!(bench.run(&whole));
    // The last tensor is followed by padding, so a few lengths below the whole are complete too.
    let data_end = whole.len() - 32;
    for length in 0..whole.len() {
        let opened = bench.run(&whole[..length]);
        assert!(!opened || length >= data_end, "{length} bytes opened");
    }
}

#[test]
fn truncated_safetensors_files_are_refused() {
    let bench = Bench::folder("truncated-shards");
    let whole = golden("quants.safetensors");
    assert!(bench.run(&whole));
    for length in (0..2000).chain(whole.len() - 100..whole.len()) {
        assert!(!bench.run(&whole[..length]), "{length} bytes opened");
    }
}

#[test]
fn long_arrays_of_small_integers_stay_in_proportion() {
    let bench = Bench::gguf("arrays");
    let count = 1u64 << 20;
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend([0; 8]);
    bytes.extend(1u64.to_le_bytes());
    bytes.extend(1u64.to_le_bytes());
    bytes.extend(b"k\x09\0\0\0\0\0\0\0");
    bytes.extend(count.to_le_bytes());
    bytes.resize(bytes.len() + count as usize, 7);
    assert!(bench.run(&bytes));
    // One byte in the file is eight in memory; a counter that saw less would prove nothing.
    assert!(LARGEST.get() >= 8 * count as usize);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn flipped_gguf_bytes(flips in prop::collection::vec((0..HEADER, any::<u8>()), 1..8)) {
        let bench = Bench::gguf("flips");
        let mut bytes = golden("quants.gguf");
        for (at, value) in flips {
            bytes[at] = value;
        }
        bench.run(&bytes);
    }

    #[test]
    fn absurd_gguf_numbers(at in 4..HEADER, value in absurd(), width in 1usize..=8) {
        let bench = Bench::gguf("absurd");
        let mut bytes = golden("quants.gguf");
        bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        bench.run(&bytes);
    }

    #[test]
    fn absurd_gguf_counts(tensors in absurd(), entries in absurd()) {
        let bench = Bench::gguf("counts");
        let mut bytes = golden("quants.gguf");
        bytes[8..16].copy_from_slice(&tensors.to_le_bytes());
        bytes[16..24].copy_from_slice(&entries.to_le_bytes());
        bench.run(&bytes);
    }

    #[test]
    fn random_bytes_behind_the_magic(body in prop::collection::vec(any::<u8>(), 0..512)) {
        let bench = Bench::gguf("random");
        bench.run(&body);
        bench.run(&[b"GGUF\x03\0\0\0".as_slice(), &body].concat());
        // Small counts, so that the reader gets as far as the entries.
        let counts = [[1, 0, 0, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0, 0, 0]].concat();
        bench.run(&[b"GGUF\x03\0\0\0".as_slice(), &counts, &body].concat());
    }

    #[test]
    fn flipped_safetensors_bytes(flips in prop::collection::vec((0..1000usize, any::<u8>()), 1..8)) {
        let bench = Bench::folder("flips-shards");
        let mut bytes = golden("quants.safetensors");
        for (at, value) in flips {
            bytes[at] = value;
        }
        bench.run(&bytes);
    }

    #[test]
    fn absurd_safetensors_numbers(shape in prop::collection::vec(absurd(), 0..4), from in absurd(), to in absurd()) {
        let bench = Bench::folder("absurd-shards");
        for (dtype, from) in [("U8", 0), ("F32", from), ("F4", 0)] {
            let json = format!(
                "{{\"x\":{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{from},{to}]}}}}"
            );
            let length = (json.len() as u64).to_le_bytes();
            bench.run(&[&length[..], json.as_bytes(), &[0; 64]].concat());
        }
    }
}
