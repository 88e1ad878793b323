//! The files of the workspace, read once.
//!
//! Git says what belongs to the tree, new files included, so that what it ignores is not judged. In
//! an unpacked archive without git the folders are walked instead, without `target` and hidden ones.

use super::functions::{line_of, test_spans, words};
use super::lexer::{Layer, layers, only};
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use trimtab_tests::workspace_root;

/// One Rust file, split into layers of equal shape.
pub struct Source {
    /// Relative to the workspace, with `/`.
    pub path: String,
    pub text: String,
    pub code: String,
    pub comments: String,
    test_spans: Vec<RangeInclusive<usize>>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let layers = layers(&chars);
        let code = only(Layer::Code, &chars, &layers);
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            comments: only(Layer::Comment, &chars, &layers),
            test_spans: test_spans(&code),
            code,
        }
    }

    /// Whether the line is test code: in a test file, or in an item marked `#[cfg(test)]`.
    pub fn is_test(&self, line: usize) -> bool {
        self.is_test_file() || self.test_spans.iter().any(|span| span.contains(&line))
    }

    pub fn is_test_file(&self) -> bool {
        let test = |part: &str| matches!(part, "tests" | "tests.rs" | "benches");
        self.path.split('/').any(test)
    }

    /// Whether the file is below one of these folders, or one of these files.
    pub fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }

    /// The lines of code where `word` stands as a whole word.
    pub fn code_lines_with_word(&self, word: &str) -> Vec<usize> {
        words(&self.code, word).into_iter().map(|at| line_of(&self.code, at)).collect()
    }

    /// The lines of code that contain `part`, with the code.
    pub fn code_lines_with(&self, part: &str) -> Vec<(usize, &str)> {
        let lines = self.code.lines().enumerate().map(|(at, line)| (at + 1, line));
        lines.filter(|(_, line)| line.contains(part)).collect()
    }
}

/// Every Rust file of the workspace.
pub fn sources() -> &'static [Source] {
    static SOURCES: OnceLock<Vec<Source>> = OnceLock::new();
    SOURCES.get_or_init(|| {
        let rust = files().iter().filter(|path| path.ends_with(".rs"));
        let sources: Vec<Source> = rust.map(|path| Source::new(path, &read(path))).collect();
        assert!(sources.len() > 8, "only {} Rust files found: a scan saw nothing", sources.len());
        sources
    })
}

/// The text of a file of the workspace; the empty text if it is not UTF-8.
pub fn read(path: &str) -> String {
    let bytes = std::fs::read(workspace_root().join(path)).expect("a listed file is readable");
    String::from_utf8(bytes).unwrap_or_default()
}

/// Every file of the workspace, relative to it.
pub fn files() -> &'static [String] {
    static FILES: OnceLock<Vec<String>> = OnceLock::new();
    FILES.get_or_init(|| {
        let root = workspace_root();
        let mut files = listed_by_git(&root).unwrap_or_else(|| walked(&root, ""));
        files.retain(|path| root.join(path).is_file());
        files.sort();
        files
    })
}

fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").args(list).current_dir(root).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let files: Vec<String> = text.split_terminator('\0').map(str::to_owned).collect();
    (output.status.success() && !files.is_empty()).then_some(files)
}

fn walked(root: &Path, below: &str) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root.join(below)).expect("a listed folder is readable") {
        let entry = entry.expect("a listed folder is readable");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{below}{name}");
        let hidden = name.starts_with('.') && name != ".ci";
        match entry.file_type().expect("a listed entry has a type") {
            kind if kind.is_dir() && !hidden && name != "target" => {
                files.extend(walked(root, &format!("{path}/")));
            }
            kind if kind.is_file() => files.push(path),
            _ => {}
        }
    }
    files
}

#[test]
fn the_walk_misses_no_manifest() {
    let walked = walked(&workspace_root(), "");
    let manifests: Vec<&String> = files().iter().filter(|f| f.ends_with("Cargo.toml")).collect();
    assert!(manifests.len() > 8, "{manifests:?}");
    assert!(manifests.iter().all(|manifest| walked.contains(manifest)), "{manifests:?}");
}
