//! Tests of the loader: a small writer of GGUF bytes, written from the format's page and not from
//! our reader, and folders that clean up after themselves.

mod folder;
mod gguf;
mod golden;
mod split;

use std::path::{Path, PathBuf};

use super::Weights;

/// A new, empty folder, removed with all it holds when dropped. One at a time in each test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let (process, thread) = (std::process::id(), std::thread::current().id());
        let name = format!("trimtab-weights-{process}-{thread:?}");
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A GGUF file as its parts; every field may be made wrong.
#[derive(Clone)]
struct File {
    magic: [u8; 4],
    version: u32,
    entries: Vec<(String, u32, Vec<u8>)>,
    /// Name, dimensions innermost first, type number, offset.
    tensors: Vec<(String, Vec<u64>, u32, u64)>,
    alignment: usize,
    data: Vec<u8>,
}

impl File {
    fn new() -> Self {
        Self {
            magic: *b"GGUF",
            version: 3,
            entries: Vec::new(),
            tensors: Vec::new(),
            alignment: 32,
            data: Vec::new(),
        }
    }

    fn entry(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.entries.push((key.to_owned(), kind, value.to_vec()));
        self
    }

    /// Adds a description without data.
    fn describe(mut self, name: &str, dims: &[u64], kind: u32, offset: u64) -> Self {
        self.tensors.push((name.to_owned(), dims.to_vec(), kind, offset));
        self
    }

    /// Adds a tensor behind those that are there.
    fn tensor(mut self, name: &str, dims: &[u64], kind: u32, bytes: &[u8]) -> Self {
        let offset = self.data.len().next_multiple_of(self.alignment);
        self.data.resize(offset, 0);
        self.data.extend_from_slice(bytes);
        self.describe(name, dims, kind, offset as u64)
    }

    fn f32s(self, name: &str, dims: &[u64], values: &[f32]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, dims, 0, &bytes)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = self.magic.to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.entries.len() as u64).to_le_bytes());
        for (key, kind, value) in &self.entries {
            out.extend(text(key));
            out.extend(kind.to_le_bytes());
            out.extend(value);
        }
        for (name, dims, kind, offset) in &self.tensors {
            out.extend(text(name));
            out.extend((dims.len() as u32).to_le_bytes());
            dims.iter().for_each(|dim| out.extend(dim.to_le_bytes()));
            out.extend(kind.to_le_bytes());
            out.extend(offset.to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(self.alignment), 0);
        out.extend(&self.data);
        out
    }
}

fn text(text: &str) -> Vec<u8> {
    let mut out = (text.len() as u64).to_le_bytes().to_vec();
    out.extend(text.as_bytes());
    out
}

/// The value of an array entry.
fn array(kind: u32, count: u64, items: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes(), count.to_le_bytes().as_slice(), items].concat()
}

fn golden(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/weights")).join(name)
}

/// The message of the error that opening gives, sources included.
fn refusal(path: &Path) -> String {
    let error = Weights::open(path).unwrap_err();
    let mut message = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        message = format!("{message}: {inner}");
        source = inner.source();
    }
    message
}

#[track_caller]
fn contains(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{message}` lacks `{part}`");
    }
}

#[test]
fn weights_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Weights>();
}
