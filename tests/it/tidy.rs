//! The rules of CONTRIBUTING.md that no compiler holds, as tests over the tree's own text.
//!
//! A rule is a function from one file to its findings. [`hold`] first feeds it snippets that must
//! fail and snippets that must pass, so that a rule which has gone blind is red, then every file of
//! the workspace. A finding reads `file:line: rule: what is wrong`, and the rule is the test's name.
//!
//! The scanners know Rust's comments, strings and braces and nothing else: a rule that needs types
//! belongs to clippy.

mod circles;
mod functions;
mod lexer;
mod manifests;
mod marks;
mod names;
mod pages;
mod sizes;
mod tree;
mod types;
mod walls;

use tree::Source;

/// What a rule says about one file: lines, counted from 1, and what is wrong there.
type Findings = Vec<(usize, String)>;

/// Snippets that show what a rule catches and what it lets pass, as (path, text).
struct Samples<'a> {
    bad: &'a [(&'a str, &'a str)],
    good: &'a [(&'a str, &'a str)],
}

/// Proves that `rule` can fail, then holds it over every Rust file of the workspace.
fn hold(name: &str, rule: fn(&Source) -> Findings, samples: &Samples) {
    for (path, text) in samples.bad {
        let found = rule(&Source::new(path, text));
        assert!(!found.is_empty(), "{name}: blind to {text:?} in {path}");
    }
    for (path, text) in samples.good {
        let found = rule(&Source::new(path, text));
        assert!(found.is_empty(), "{name}: refuses {text:?} in {path}: {found:?}");
    }
    let found = tree::sources().iter().flat_map(|source| {
        let lines = rule(source);
        lines.into_iter().map(|(line, what)| format!("{}:{line}: {name}: {what}", source.path))
    });
    none(found.collect());
}

/// Fails with every finding on a line of its own.
fn none(findings: Vec<String>) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}
