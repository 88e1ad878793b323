//! What the tests share: a folder that goes away, a sink that counts, an entry of a known file.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::hub::{Dirs, Entry, Progress, Reach, Resolver, Source};

/// One million times the letter a; its hash is in FIPS 180-2, appendix B.3.
pub const MILLION_A: &str = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

pub fn million_a() -> Vec<u8> {
    vec![b'a'; 1_000_000]
}

pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("trimtab-hub-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn dirs(&self) -> Dirs {
        Dirs { models: self.0.join("models"), hub: self.0.join("hub"), reach: Reach::Online }
    }

    pub fn resolver(&self) -> Resolver<'static> {
        Resolver::with_dirs(self.dirs())
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Remembers stages and counts bytes.
#[derive(Default)]
pub struct Log {
    pub stages: RefCell<Vec<(String, u64)>>,
    open: RefCell<Option<(String, u64)>>,
}

impl Log {
    pub fn bytes_of(&self, stage: &str) -> Vec<u64> {
        let stages = self.stages.borrow();
        stages.iter().filter(|(s, _)| s == stage).map(|(_, b)| *b).collect()
    }
}

impl Progress for Log {
    fn begin(&self, stage: &str, _total_bytes: Option<u64>) {
        let before = self.open.replace(Some((stage.to_owned(), 0)));
        assert_eq!(before, None, "stages nest");
    }

    fn advance(&self, bytes: u64) {
        self.open.borrow_mut().as_mut().expect("a stage is open").1 += bytes;
    }

    fn end(&self) {
        self.stages.borrow_mut().push(self.open.take().expect("a stage is open"));
    }
}

/// An entry that pins the million letters.
pub fn entry(sources: Vec<Source>) -> &'static Entry {
    Box::leak(Box::new(Entry {
        name: "letters",
        file_name: "letters.gguf",
        bytes: 1_000_000,
        sha256: MILLION_A,
        licence: "CC0-1.0",
        summary: "the letter a",
        sources: sources.leak(),
    }))
}
