//! Modules that import each other in a circle.
//!
//! A circle of modules is read as one: none of them can be understood, moved or tested alone. A parent and its
//! child may know each other. A name that a module passes on is followed to the module that defines it. The circles
//! that are left are named in `known_circles.txt`.

use super::none;
use super::tree::{Source, read, sources};
use std::collections::{BTreeMap, BTreeSet};

/// The imports of the modules of one crate: module → modules. The crate's root is the empty name.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// The crate and the module of a file: `server/src/wire/mod.rs` is `wire` of `server`.
fn module(path: &str) -> Option<(&str, String)> {
    let (name, file) = path.split_once("/src/")?;
    let file = file.strip_suffix(".rs")?;
    let file = file.strip_suffix("/mod").unwrap_or(file);
    let root = matches!(file, "lib" | "main" | "mod");
    Some((name, if root { String::new() } else { file.replace('/', "::") }))
}

/// The paths of a tree of imports: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(tree: &str) -> Vec<String> {
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or_default().trim();
        return vec![path.replace("::self", "")];
    };
    let (start, inner) = (tree[..open].trim(), tree[open + 1..].trim_end().trim_end_matches('}'));
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in inner.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().expect("there is a part").push(c);
    }
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(|part| paths(part.trim())).map(|path| format!("{start}{path}")).collect()
}

/// What a file imports, outside its tests, as paths from the crate's root; and of these what it passes on.
fn imports(source: &Source, own: &str) -> Vec<(String, bool)> {
    let lines = source.code.lines().enumerate();
    let code: Vec<&str> =
        lines.map(|(at, line)| if source.is_test(at + 1) { "" } else { line }).collect();
    let mut found = Vec::new();
    for item in code.join("\n").split(';') {
        let item = item.replace('\n', " ");
        let Some(at) = item.rfind("use ") else { continue };
        let passed_on = item[..at].trim_end().ends_with("pub") || item[..at].contains("pub(");
        for path in paths(&item[at + 4..]) {
            found.push((from_root(&path, own), passed_on));
        }
    }
    found
}

fn from_root(path: &str, own: &str) -> String {
    let mut here: Vec<&str> = own.split("::").filter(|part| !part.is_empty()).collect();
    let mut rest: Vec<&str> = path.split("::").map(str::trim).collect();
    match rest.first() {
        Some(&"crate") => {
            here.clear();
            rest.remove(0);
        }
        Some(&"self") => {
            rest.remove(0);
        }
        _ => {
            while rest.first() == Some(&"super") {
                here.pop();
                rest.remove(0);
            }
        }
    }
    here.extend(rest);
    here.join("::")
}

/// The module that a path leads to: the longest beginning that is one, or where that passes the next name on, the
/// module it has it from.
fn target(path: &str, modules: &Imports, passed: &BTreeMap<String, String>) -> Option<String> {
    let mut path = path.to_owned();
    for _ in 0..4 {
        match passed.get(&path) {
            Some(further) if *further != path => path = further.clone(),
            _ => break,
        }
    }
    loop {
        if modules.contains_key(&path) {
            return Some(path);
        }
        path.truncate(path.rfind("::")?);
    }
}

fn is_around(outer: &str, inner: &str) -> bool {
    outer.is_empty() || inner == outer || inner.starts_with(&format!("{outer}::"))
}

/// The imports of one crate's modules, those between a module and what is inside it left out.
fn graph(files: &[(String, &Source)]) -> Imports {
    let mut graph: Imports =
        files.iter().map(|(name, _)| (name.clone(), BTreeSet::new())).collect();
    let (mut all, mut passed) = (Vec::new(), BTreeMap::new());
    for (own, source) in files {
        for (path, on) in imports(source, own) {
            if on && let Some((_, name)) = path.rsplit_once("::") {
                let name = if own.is_empty() { name.to_owned() } else { format!("{own}::{name}") };
                passed.insert(name, path.clone());
            }
            all.push((own, path));
        }
    }
    for (own, path) in all {
        let Some(to) = target(&path, &graph, &passed) else { continue };
        if !is_around(own, &to) && !is_around(&to, own) {
            graph.entry(own.clone()).or_default().insert(to);
        }
    }
    graph
}

/// Each circle as the names of its modules.
fn circles(graph: &Imports) -> Vec<String> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = graph
        .keys()
        .map(|from| {
            let (mut seen, mut next) = (BTreeSet::new(), vec![from.as_str()]);
            while let Some(module) = next.pop() {
                let further = graph[module].iter().map(String::as_str);
                next.extend(further.filter(|to| seen.insert(*to)));
            }
            (from.as_str(), seen)
        })
        .collect();
    let circle = |from: &&str| {
        let both = reached[from].iter().filter(|to| reached[**to].contains(from)).copied();
        both.collect::<Vec<_>>().join(" ")
    };
    let all: BTreeSet<String> = reached.keys().map(circle).collect();
    all.into_iter().filter(|circle| circle.contains(' ')).collect()
}

fn circles_of(sources: &[Source]) -> Vec<String> {
    let mut crates: BTreeMap<&str, Vec<(String, &Source)>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_test_file()) {
        let Some((name, module)) = module(&source.path) else { continue };
        crates.entry(name).or_default().push((module, source));
    }
    let named = |(name, files): (&str, Vec<(String, &Source)>)| {
        let circles = circles(&graph(&files)).into_iter();
        circles.map(|circle| format!("{name}: {circle}")).collect::<Vec<_>>()
    };
    crates.into_iter().flat_map(named).collect()
}

#[test]
fn modules_import_one_way() {
    let file = |path: &str, text: &str| Source::new(path, text);
    let circle = [
        file("a/src/one.rs", "use crate::two::{self, Thing};"),
        file("a/src/two/mod.rs", "pub use inner::Thing;\nmod inner;"),
        file("a/src/two/inner.rs", "use super::super::one::Other;"),
    ];
    assert_eq!(circles_of(&circle), ["a: one two::inner"]);
    let family = [
        file("a/src/two/mod.rs", "use inner::Thing;"),
        file("a/src/two/inner.rs", "use super::Thing;\n#[cfg(test)]\nmod t { use crate::one::A; }"),
        file("a/src/one.rs", "use crate::two::inner::B;"),
    ];
    assert!(circles_of(&family).is_empty());

    let known = read("tests/it/tidy/known_circles.txt");
    let known: BTreeSet<&str> = known.lines().collect();
    let found = circles_of(sources());
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    let new = found.difference(&known).map(|circle| format!("new circle: {circle}"));
    let gone = known.difference(&found).map(|circle| format!("no circle any more: {circle}"));
    none(new.chain(gone).collect());
}
