//! What is written beside the code: module pages, the code map, the changelog, golden files.

use super::functions::words;
use super::manifests::CRATES;
use super::tree::{Source, files, read, sources};
use super::{Findings, Samples, hold, none};
use std::collections::BTreeSet;
use trimtab_tests::workspace_root;

const MOST_GOLDEN_BYTES: u64 = 2_200_000;

/// First folders of absolute paths that mean the same on every machine: the system's, one that no machine has, and those
/// of addresses and JSON pointers.
const KNOWN_FOLDERS: [&str; 18] = [
    "usr",
    "src",
    "bin",
    "lib",
    "proc",
    "sys",
    "tmp",
    "etc",
    "dev",
    "nowhere",
    "it",
    "api",
    "v1",
    "chat",
    "models",
    "model",
    "single",
    "added_tokens",
];
/// What tests call a file that must not be reached, and a link of the CUDA script.
const OUTSIDE_SAMPLES: [&str; 5] = ["etc", "evil", "x.gguf", "s.safetensors", "libcuda.so"];

fn no_page(source: &Source) -> Findings {
    let has_page = source.text.starts_with("//!");
    let module = source.path.contains("src/") || source.path.contains("/it/");
    if module && !has_page { vec![(1, "no `//!` page".to_owned())] } else { Vec::new() }
}

/// The modules that a `lib.rs` declares.
fn modules(lib: &str) -> Vec<String> {
    let declared = words(lib, "mod").into_iter().filter_map(|at| {
        let rest = lib[at + "mod".len()..].trim_start();
        let (name, _) = rest.split_once([';', '{'])?;
        Some(name.trim().to_owned())
    });
    declared.collect()
}

/// The names that stand nowhere in the page between backticks.
fn missing<'a>(page: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let named = |name: &&str| !page.contains(&format!("`{name}`"));
    names.into_iter().filter(named).collect()
}

/// Whether the newest section of a changelog says something.
fn newest_section_is_written(changelog: &str) -> bool {
    let mut sections = changelog.split("\n## ").skip(1);
    let newest = sections.next().and_then(|section| section.split_once('\n'));
    newest.is_some_and(|(_, body)| {
        body.lines().any(|line| !line.trim().is_empty() && !line.starts_with('#'))
    })
}

/// The modules in the map's table of the runtime, without the parts below them.
fn mapped(page: &str) -> Vec<&str> {
    let section = page.split("\n## ").find(|section| section.starts_with("The runtime's modules"));
    let rows = section.unwrap_or_default().lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once('`')).map(|(name, _)| name).collect()
}

/// The tests that an index names: of each line the words between backticks, behind the file that they are in.
fn indexed(page: &str) -> Vec<(&str, &str)> {
    let named = |line| {
        let quoted = str::split(line, '`').skip(1).step_by(2);
        quoted.scan("", |file, word| {
            if word.ends_with(".rs") {
                *file = word;
            }
            Some((*file, word))
        })
    };
    let rows = page.lines().filter(|line| line.starts_with("| m"));
    rows.flat_map(named).filter(|(file, word)| !file.is_empty() && file != word).collect()
}

/// The functions of a file whose names begin as those of mechanics tests do.
fn mechanics(source: &Source) -> Vec<&str> {
    let is_numbered = |name: &&str| {
        let mut bytes = name.bytes();
        bytes.next() == Some(b'm')
            && bytes.take(3).map(|b| b.is_ascii_digit() || b == b'_').eq([true; 3])
    };
    let functions = source.code.split("fn ").skip(1);
    functions
        .filter_map(|rest| rest.split_once('('))
        .map(|(name, _)| name)
        .filter(is_numbered)
        .collect()
}

/// Whether an absolute path begins where any machine may have it. A single letter is an example's.
fn is_anywhere(first: &str, rest: &str) -> bool {
    let known = KNOWN_FOLDERS.contains(&first) || (first == "home" && rest.starts_with("ada"));
    known || first.len() == 1 || first == ".."
}

/// Whether a line has an absolute path that not every machine has.
fn is_absolute(line: &str) -> bool {
    line.match_indices('/').any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let begins = !before.is_some_and(|c| c.is_alphanumeric() || "._-~}$/<*…)]".contains(c));
        let Some((first, rest)) = line[at + 1..].split_once('/').filter(|_| begins) else {
            return false;
        };
        let name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        !first.is_empty() && first.chars().all(name) && !is_anywhere(first, rest)
    })
}

/// Whether a line climbs, from wherever it is read, to a name that the root of the tree does not have.
fn leaves(line: &str, root: &BTreeSet<&str>) -> bool {
    let climbs = line.match_indices("../").map(|(at, up)| &line[at + up.len()..]);
    let names = climbs.filter(|rest| !rest.starts_with("../")).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c));
        &rest[..end.unwrap_or(rest.len())]
    });
    let strange = |name: &str| !root.contains(name) && !OUTSIDE_SAMPLES.contains(&name);
    names.filter(|name| name.len() > 1).any(strange)
}

/// The lines of a text that name a path of one machine.
fn machine_paths(text: &str, root: &BTreeSet<&str>) -> Vec<usize> {
    let lines = text.lines().enumerate();
    let found = lines.filter(|(_, line)| is_absolute(line) || leaves(line, root));
    found.map(|(at, _)| at + 1).collect()
}

#[test]
fn every_module_has_its_page() {
    let samples = Samples {
        bad: &[
            ("cli/src/main.rs", "fn main() {}"),
            ("runtime/src/kv.rs", "\n//! late"),
            ("tests/it/main.rs", "mod a;"),
        ],
        good: &[("runtime/src/kv.rs", "//! Blocks."), ("runtime/fuzz/a.rs", "#![no_main]")],
    };
    hold("every_module_has_its_page", no_page, &samples);
}

#[test]
fn the_map_names_every_crate() {
    assert_eq!(modules("pub mod a;\n#[cfg(b)]\nmod c;"), ["a", "c"]);
    assert_eq!(missing("`a` and bc", ["a", "b"]), ["b"]);

    let map = read("ARCHITECTURE.md");
    let runtime = sources().iter().find(|source| source.path == "runtime/src/lib.rs");
    let modules = modules(&runtime.expect("the runtime has a lib.rs").code);
    assert!(!modules.is_empty(), "the scan found no module in runtime/src/lib.rs");
    let names = CRATES.iter().map(|entry| entry.0).chain(modules.iter().map(String::as_str));
    let found = missing(&map, names).into_iter();
    let rule = "ARCHITECTURE.md:1: the_map_names_every_crate:";
    none(found.map(|name| format!("{rule} `{name}` is not on the map")).collect());
}

#[test]
fn the_map_follows_lib_rs() {
    let sample =
        "a\n## The runtime's modules\n| module |\n| `b` | x |\n| ↳ `c` | |\n| `b` |\n## d\n| `e` |";
    assert_eq!(mapped(sample), ["b", "b"]);

    let runtime = sources().iter().find(|source| source.path == "runtime/src/lib.rs");
    let modules = modules(&runtime.expect("the runtime has a lib.rs").code);
    assert_eq!(mapped(&read("ARCHITECTURE.md")), modules, "ARCHITECTURE.md has another order");
}

#[test]
fn the_changelog_is_written() {
    for blind in ["", "# Changelog", "# Changelog\n\n## 0.1\n\n## 0.0\n\n- a", "a\n## 0.1\n### b\n"]
    {
        assert!(!newest_section_is_written(blind), "blind to {blind:?}");
    }
    assert!(newest_section_is_written("# Changelog\n\n## 0.1\n\n- **added** chat\n"));
    let there = files().iter().any(|path| path == "CHANGELOG.md");
    let text = if there { read("CHANGELOG.md") } else { String::new() };
    assert!(
        newest_section_is_written(&text),
        "CHANGELOG.md:1: the_changelog_is_written: its newest `## ` section is empty"
    );
}

/// The modules of the runtime that a script filters tests by, and that hold none.
fn modules_without_tests(script: &str) -> Vec<&str> {
    let words =
        script.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
    let holds = |name: &str| {
        let path = format!("runtime/src/{}", name.replace("::", "/"));
        let inside = |file: &String| {
            file.strip_prefix(&path).is_some_and(|rest| rest.starts_with(['.', '/']))
        };
        files().iter().filter(|file| inside(file)).any(|file| read(file).contains("#[test]"))
    };
    words.filter(|word| word.contains("::") && !holds(word)).collect()
}

#[test]
fn miri_runs_tests_that_are_there() {
    let bad = "# a::b\ncargo test -- \\\n    kernels::threads kernels::thread kernels::gone";
    assert_eq!(modules_without_tests(bad), ["kernels::thread", "kernels::gone"]);
    let script = read("scripts/miri.sh");
    assert!(script.contains("kernels::"), "it filters by nothing");
    assert_eq!(modules_without_tests(&script), [""; 0]);
}

#[test]
fn golden_files_are_small() {
    let bytes = |path: &String| workspace_root().join(path).metadata().map_or(0, |file| file.len());
    assert!(bytes(&"Cargo.toml".to_owned()) > 0);
    let golden = files().iter().filter(|path| path.split('/').any(|part| part == "golden"));
    let total: u64 = golden.map(bytes).sum();
    assert!(
        total < MOST_GOLDEN_BYTES,
        "golden_files_are_small: {total} bytes in all, below 2.2 MB"
    );
}

#[test]
fn nothing_names_one_machine() {
    let root: BTreeSet<&str> = files().iter().filter_map(|path| path.split('/').next()).collect();
    let [place, home] = [["", "srv", "a"], ["", "home", "eve"]].map(|parts| parts.join("/"));
    let beside = ["..", "elsewhere", "b"].join("/");
    let bad = [
        format!("see {place}"),
        format!("open(\"{place}\")"),
        format!("x >{place}"),
        format!("{home}/c"),
        format!("a {beside}"),
        format!("../{beside}"),
    ];
    for bad in bad {
        assert_eq!(machine_paths(&bad, &root), [1], "blind to {bad:?}");
    }
    let good = format!("a frame{place} and $HOME{place}, /usr/bin/env, {}/b", "../tests");
    assert_eq!(machine_paths(&good, &root), [0; 0]);

    let mut found = Vec::new();
    for path in files() {
        let lines = machine_paths(&read(path), &root).into_iter();
        found.extend(lines.map(|line| format!("{path}:{line}: nothing_names_one_machine")));
    }
    none(found);
}

#[test]
fn the_index_names_every_mechanics_test() {
    let sample = "| m01 | `x` | `a.rs`: `m01_b`, `m01_c`; `d.rs`: `e` |\n`a.rs`: `f`";
    assert_eq!(indexed(sample), [("a.rs", "m01_b"), ("a.rs", "m01_c"), ("d.rs", "e")]);
    let source = Source::new("a/src/b.rs", "fn m01_b() {}\nfn m1_c() {}\nfn make_d() {}");
    assert_eq!(mechanics(&source), ["m01_b"]);

    let page = read("docs/learning.md");
    let index = indexed(&page);
    assert!(index.len() > 50, "the scan found {} tests in docs/learning.md", index.len());
    let rule = "docs/learning.md: the_index_names_every_mechanics_test:";
    let is_there = |(file, name): &&(&str, &str)| {
        let source = sources().iter().find(|source| source.path == *file);
        source.is_some_and(|source| source.code.contains(&format!("fn {name}(")))
    };
    let lost = index.iter().filter(|named| !is_there(named));
    let lost = lost.map(|(file, name)| format!("{rule} {file} has no {name}"));
    let all = sources()
        .iter()
        .flat_map(|source| mechanics(source).into_iter().map(move |name| (source, name)));
    let is_named = |source: &Source, name: &str| index.contains(&(source.path.as_str(), name));
    let unnamed = all.filter(|(source, name)| !is_named(source, name));
    let unnamed =
        unnamed.map(|(source, name)| format!("{rule} {name} of {} is not in it", source.path));
    none(lost.chain(unnamed).collect());
}
