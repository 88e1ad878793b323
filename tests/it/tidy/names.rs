//! Names that say nothing.
//!
//! A module is a word a user would say, a function's name begins with what it does, and a type's
//! name does not end in what every type is.

use super::functions::{functions, line_of, words};
use super::tree::Source;
use super::{Findings, Samples, hold};

const EMPTY_MODULES: [&str; 6] = ["utils", "helpers", "common", "base", "misc", "manager"];
const EMPTY_SUFFIXES: [&str; 3] = ["Impl", "Info", "Data"];

fn empty_modules(source: &Source) -> Findings {
    let parts = source.path.split(['/', '.']);
    let file = parts.filter(|part| EMPTY_MODULES.contains(part)).map(|part| (1, part.to_owned()));
    let inline = named(&source.code, "mod").into_iter();
    let inline = inline.filter(|(_, name)| EMPTY_MODULES.contains(&name.as_str()));
    file.chain(inline).map(|(line, name)| (line, format!("{name} says nothing"))).collect()
}

fn getters(source: &Source) -> Findings {
    let all = functions(&source.code).into_iter();
    let found = all.filter(|function| function.name.starts_with("get_"));
    found.map(|f| (f.line, format!("{}: leave out get_", f.name))).collect()
}

fn empty_suffixes(source: &Source) -> Findings {
    let kinds = ["struct", "enum", "trait", "type"].into_iter();
    let types = kinds.flat_map(|keyword| named(&source.code, keyword));
    let empty = |name: &str| EMPTY_SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
    let found = types.filter(|(_, name)| empty(name));
    found.map(|(line, name)| (line, format!("{name}: the suffix says nothing"))).collect()
}

/// The names declared with `keyword`, with their lines.
fn named(code: &str, keyword: &str) -> Vec<(usize, String)> {
    let name = |at: usize| {
        let rest = code[at + keyword.len()..].trim_start();
        rest.chars().take_while(|&c| c.is_alphanumeric() || c == '_').collect()
    };
    words(code, keyword).into_iter().map(|at| (line_of(code, at), name(at))).collect()
}

#[test]
fn modules_are_words() {
    let samples = Samples {
        bad: &[
            ("runtime/src/utils.rs", ""),
            ("runtime/src/common/mod.rs", ""),
            ("runtime/src/lib.rs", "pub(crate) mod helpers {}"),
        ],
        good: &[("runtime/src/database.rs", "mod baseline; // mod misc;")],
    };
    hold("modules_are_words", empty_modules, &samples);
}

#[test]
fn functions_say_what_they_do() {
    let samples = Samples {
        bad: &[("a/src/a.rs", "pub fn get_site(&self) -> Site { self.site }")],
        good: &[("a/src/a.rs", "pub fn site(&self) -> Site { self.map.get_mut() }")],
    };
    hold("functions_say_what_they_do", getters, &samples);
}

#[test]
fn types_have_no_empty_suffix() {
    let samples = Samples {
        bad: &[("a/src/a.rs", "pub struct TensorInfo;"), ("a/src/a.rs", "enum ModelData { A }")],
        good: &[("a/src/a.rs", "struct Database;\nfn a(info: &FileInfo) {}")],
    };
    hold("types_have_no_empty_suffix", empty_suffixes, &samples);
}
