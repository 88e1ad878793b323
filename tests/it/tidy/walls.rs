//! Walls inside a crate that the import table cannot see.
//!
//! Weights are shared and never change, the environment is read at one place, and the wire's shapes
//! stay on the wire. Each wall is a word that must not stand on its other side.

use super::functions::line_of;
use super::tree::Source;
use super::{Findings, Samples, hold};

/// Types through which a shared reference can change something.
const CHANGEABLE: [&str; 10] = [
    "Mutex",
    "RwLock",
    "RefCell",
    "Cell",
    "OnceCell",
    "OnceLock",
    "LazyCell",
    "LazyLock",
    "UnsafeCell",
    "Condvar",
];

/// The one module outside `cli` that asks for cache folders.
const ENVIRONMENT_PLACES: [&str; 2] = ["cli/", "runtime/src/hub/dirs.rs"];

fn changeable_weights(source: &Source) -> Findings {
    if !source.is_in(&["runtime/src/decoder/", "runtime/src/decoder.rs"]) {
        return Vec::new();
    }
    let cells = CHANGEABLE.iter().flat_map(|word| source.code_lines_with_word(word));
    let atomics = source.code.match_indices("Atomic").map(|(at, _)| line_of(&source.code, at));
    let what = "a model never changes behind a shared reference";
    cells
        .chain(atomics)
        .filter(|&line| !source.is_test(line))
        .map(|line| (line, what.to_owned()))
        .collect()
}

fn environment_reads(source: &Source) -> Findings {
    if source.is_in(&ENVIRONMENT_PLACES) || source.path.ends_with("build.rs") {
        return Vec::new();
    }
    let reads = |code: &str| {
        let inside = code.split("env::").skip(1);
        let mut names = inside.map(|rest| rest.trim_start_matches('{').trim_start());
        names.any(|name| name.starts_with("var") || name.starts_with("home_dir"))
    };
    let lines = source.code_lines_with("env::").into_iter();
    let found = lines.filter(|&(line, code)| reads(code) && !source.is_test(line));
    let what = "the environment is read in cli and hub/dirs.rs";
    found.map(|(line, _)| (line, what.to_owned())).collect()
}

fn wire_shapes(source: &Source) -> Findings {
    if !source.is_in(&["server/src/"]) || source.is_in(&["server/src/wire/", "server/src/wire.rs"])
    {
        return Vec::new();
    }
    let derives = ["Serialize", "Deserialize"].into_iter();
    let lines = derives.flat_map(|word| source.code_lines_with_word(word));
    let what = "what HTTP reads and writes is a type of server/src/wire";
    lines.filter(|&line| !source.is_test(line)).map(|line| (line, what.to_owned())).collect()
}

#[test]
fn weights_never_change() {
    let samples = Samples {
        bad: &[
            ("runtime/src/decoder/mod.rs", "struct D { cache: Mutex<u8> }"),
            ("runtime/src/decoder/rope.rs", "use std::cell::Cell;"),
            ("runtime/src/decoder/a/b.rs", "static A: AtomicUsize = x;"),
        ],
        good: &[
            ("runtime/src/kv.rs", "struct P { free: Mutex<u8> }"),
            ("runtime/src/decoder/mod.rs", "struct Cellar; // no Mutex"),
            ("runtime/src/decoder/tests.rs", "static A: AtomicUsize = x;"),
        ],
    };
    hold("weights_never_change", changeable_weights, &samples);
}

#[test]
fn the_environment_is_read_at_one_place() {
    let samples = Samples {
        bad: &[
            ("runtime/src/hub/mod.rs", "let x = std::env::var(\"X\");"),
            ("server/src/app.rs", "for v in env::vars_os() {}"),
            ("steering/src/a.rs", "use std::env::{var, args};"),
        ],
        good: &[
            ("runtime/src/hub/dirs.rs", "let x = std::env::var(\"X\");"),
            ("cli/src/main.rs", "let x = std::env::var(\"X\");"),
            ("runtime/src/a.rs", "const V: &str = env!(\"CARGO_PKG_VERSION\");"),
            ("runtime/src/a.rs", "#[cfg(test)]\nmod t { fn a() { std::env::var(b); } }"),
        ],
    };
    hold("the_environment_is_read_at_one_place", environment_reads, &samples);
}

#[test]
fn wire_shapes_stay_on_the_wire() {
    let samples = Samples {
        bad: &[("server/src/app.rs", "#[derive(Debug, Serialize)]\nstruct A;")],
        good: &[
            ("server/src/wire/chat.rs", "#[derive(serde::Deserialize)]\nstruct A;"),
            ("runtime/src/decoder/spec.rs", "#[derive(serde::Deserialize)]\nstruct A;"),
        ],
    };
    hold("wire_shapes_stay_on_the_wire", wire_shapes, &samples);
}
