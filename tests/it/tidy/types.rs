//! One name for one public type.
//!
//! Two types of one name are told apart only by their paths, which neither prose nor an error message gives. The names
//! that are still shared are in `shared_types.txt`.

use super::functions::{line_of, words};
use super::none;
use super::tree::{Source, read, sources};
use std::collections::{BTreeMap, BTreeSet};

/// Names that every crate or module may have for its own.
const EVERYWHERE: [&str; 3] = ["Error", "Kind", "Result"];

/// The public types of a file outside its tests.
fn public_types(source: &Source) -> Vec<String> {
    let declared = |keyword: &str| {
        let code = &source.code;
        let name = |at: usize| {
            let before = code[..at].trim_end();
            let rest = code[at + keyword.len()..].trim_start();
            let name: String =
                rest.chars().take_while(|&c| c.is_alphanumeric() || c == '_').collect();
            let public = before.ends_with("pub") && !source.is_test(line_of(code, at));
            (public && !name.is_empty()).then_some(name)
        };
        words(code, keyword).into_iter().filter_map(name).collect::<Vec<_>>()
    };
    ["struct", "enum", "trait", "type", "union"].into_iter().flat_map(declared).collect()
}

/// The names of more than one public type in the crates' sources.
fn shared<'a>(sources: impl IntoIterator<Item = &'a Source>) -> BTreeMap<String, Vec<String>> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources.into_iter().filter(|source| source.path.contains("/src/")) {
        for name in public_types(source) {
            places.entry(name).or_default().push(source.path.clone());
        }
    }
    places.retain(|name, at| at.len() > 1 && !EVERYWHERE.contains(&name.as_str()));
    places
}

#[test]
fn public_types_have_names_of_their_own() {
    let twice = [
        Source::new("a/src/a.rs", "pub struct Plan;\npub enum Error {}\nstruct Own;"),
        Source::new("b/src/b.rs", "pub enum Plan {}\npub struct Error;\npub struct Own;"),
    ];
    assert_eq!(shared(&twice).into_keys().collect::<Vec<_>>(), ["Plan"]);

    let known = read("tests/it/tidy/shared_types.txt");
    let known: BTreeSet<&str> = known.lines().collect();
    let found = shared(sources());
    let new = found.iter().filter(|(name, _)| !known.contains(name.as_str()));
    let new = new.map(|(name, at)| format!("{name} is defined in {}", at.join(" and ")));
    let gone = known.iter().filter(|name| !found.contains_key(**name));
    let gone = gone.map(|name| format!("{name} is defined once; take it off shared_types.txt"));
    none(new.chain(gone).collect());
}
