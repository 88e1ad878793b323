//! Marks that ask for trust: `allow`, `unsafe`, `cfg(feature)`, notes to oneself, tests that do not run.
//!
//! Each is a place where the compiler or the reader stops checking, so each says why on the spot, and
//! some have no place at all.

use super::functions::{line_of, words};
use super::tree::{Source, files, read, sources};
use super::{Findings, Samples, hold, none};

/// Lints that stand for the budgets of CONTRIBUTING.md; nothing switches them off.
const BUDGET_LINTS: [&str; 5] = [
    "too_many_lines",
    "too_many_arguments",
    "fn_params_excessive_bools",
    "struct_excessive_bools",
    "excessive_nesting",
];

/// Where `unsafe` is allowed. The counting allocators of tests need it too; see [`may_be_unsafe`].
const UNSAFE_PLACES: [&str; 2] = ["runtime/src/kernels/", "runtime/src/model/weights/mapped.rs"];

/// Where a feature may be asked for. A `lib.rs` may also gate its `testing` module.
const FEATURE_PLACES: [&str; 2] = ["runtime/src/device.rs", "runtime/src/kernels/"];
const MOST_FEATURE_MENTIONS: usize = 19;

fn allows(source: &Source) -> Findings {
    let mut found = Vec::new();
    let lines: Vec<&str> = source.text.lines().collect();
    let comments: Vec<&str> = source.comments.lines().collect();
    for at in ["allow", "expect"].iter().flat_map(|word| words(&source.code, word)) {
        let Some(lints) = attribute(&source.code, at) else {
            continue;
        };
        let line = line_of(&source.code, at);
        for lint in BUDGET_LINTS.iter().filter(|lint| lints.contains(*lint)) {
            found.push((line, format!("{lint} is a budget and stays on")));
        }
        let comment = comments[line - 1].trim().trim_start_matches(['/', '!', '*']).trim();
        if comment.is_empty() && !lines[line - 1].contains("reason = \"") {
            found.push((line, "no reason on the same line".to_owned()));
        }
    }
    found
}

/// The lints of an attribute whose word `allow` is at `at`; `None` if it is no attribute.
fn attribute(code: &str, at: usize) -> Option<&str> {
    let line_start = code[..at].rfind('\n').map_or(0, |end| end + 1);
    let before = &code[line_start..at];
    let marked = before.trim_end().ends_with("#[") || before.trim_end().ends_with("#![");
    if !marked && !before.contains("cfg_attr") {
        return None;
    }
    let rest = &code[at..];
    rest.get(..rest.find(')')?)
}

fn unsafe_without_reason(source: &Source) -> Findings {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    for line in source.code_lines_with_word("unsafe") {
        if !may_be_unsafe(source) {
            found.push((line, "unsafe has no place here".to_owned()));
        } else if !has_safety_comment(&lines[..line]) {
            found.push((line, "no SAFETY comment within 4 lines above".to_owned()));
        }
    }
    found
}

fn may_be_unsafe(source: &Source) -> bool {
    let allocator = source.is_test_file() && source.code.contains("GlobalAlloc");
    allocator || source.is_in(&UNSAFE_PLACES)
}

/// Whether SAFETY is named on the last line or in the 4 lines above it; a comment's own lines, which
/// may be many, are not counted.
fn has_safety_comment(lines: &[&str]) -> bool {
    let mut others = 0;
    for line in lines.iter().rev() {
        if line.contains("SAFETY") || line.contains("# Safety") {
            return true;
        }
        if !line.trim_start().starts_with("//") {
            others += 1;
        }
        if others > 4 {
            return false;
        }
    }
    false
}

/// The lines that ask for a crate feature; one that only adds a schema to a type changes nothing else.
fn feature_lines(source: &Source) -> Vec<usize> {
    let lines: Vec<&str> = source.text.lines().collect();
    let is_schema = |line: usize| lines[line - 1].contains("\"openapi\"");
    let asks = source.code_lines_with("cfg").into_iter();
    let asks = asks.filter(|&(line, code)| code.contains("feature") && !is_schema(line));
    asks.map(|(line, _)| line).collect()
}

fn features_out_of_place(source: &Source) -> Findings {
    let gates_testing = |line: usize| {
        let text = source.text.lines().nth(line - 1).unwrap_or_default();
        source.path.ends_with("src/lib.rs") && text.contains("\"testing\"")
    };
    if source.is_in(&FEATURE_PLACES) {
        return Vec::new();
    }
    let lines = feature_lines(source).into_iter().filter(|&line| !gates_testing(line));
    lines
        .map(|line| (line, "features are asked for in device.rs and kernels/".to_owned()))
        .collect()
}

fn silent_tests(source: &Source) -> Findings {
    let ignored = source.code_lines_with("#[ignore").into_iter().map(|(line, _)| line);
    let panics = source.code_lines_with_word("should_panic").into_iter();
    let what = "a test runs, and says what it expects";
    ignored.chain(panics).map(|line| (line, what.to_owned())).collect()
}

/// What is wrong with the notes in a text: two words that do not exist, one that needs an issue.
fn notes(text: &str) -> Findings {
    let [later, broken, alarm] = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|w| w.concat());
    let mut found = Vec::new();
    for word in [&broken, &alarm] {
        let places = words(text, word).into_iter();
        found.extend(places.map(|at| (line_of(text, at), format!("{word} is no word here"))));
    }
    for at in words(text, &later) {
        let after = text[at + later.len()..].trim_start_matches(['(', ' ']);
        let issue = after.strip_prefix('#').unwrap_or_default();
        if !issue.starts_with(|c: char| c.is_ascii_digit()) {
            found.push((line_of(text, at), format!("{later} without an issue's number")));
        }
    }
    found
}

#[test]
fn allow_says_why() {
    let samples = Samples {
        bad: &[
            ("a/src/a.rs", "#[allow(dead_code)]\nfn a() {}"),
            ("a/src/a.rs", "#![allow(missing_docs)]"),
            ("a/src/a.rs", "#[cfg_attr(test, allow(dead_code))]"),
            ("a/src/a.rs", "#[expect(dead_code)] //"),
            ("a/src/a.rs", "#[allow(clippy::too_many_lines)] // a long table"),
        ],
        good: &[
            ("a/src/a.rs", "#[allow(unsafe_code)] // one call into the vector unit"),
            ("a/src/a.rs", "#[expect(dead_code, reason = \"read by a macro\")]"),
            ("a/src/a.rs", "let x = allow(y).expect(\"z\"); // #[allow(dead_code)]"),
        ],
    };
    hold("allow_says_why", allows, &samples);
}

#[test]
fn unsafe_says_why() {
    let kernel = "runtime/src/kernels/dot.rs";
    let samples = Samples {
        bad: &[
            ("steering/src/a.rs", "// SAFETY: none\nunsafe { a() }"),
            ("tests/it/a.rs", "// SAFETY: none\nunsafe { a() }"),
            (kernel, "unsafe { a() }"),
            (kernel, "// SAFETY: far away\na;\nb;\nc;\nd;\nunsafe { a() }"),
        ],
        good: &[
            (kernel, "// SAFETY: the slice has 32 items,\n// checked above.\nunsafe { a() }"),
            (kernel, "#![deny(unsafe_code)]\nlet x = \"unsafe\"; // unsafe"),
            (
                "tests/it/allocations.rs",
                "// SAFETY: forwards to System\nunsafe impl GlobalAlloc for A {}",
            ),
        ],
    };
    hold("unsafe_says_why", unsafe_without_reason, &samples);
}

#[test]
fn features_stay_at_the_rim() {
    let samples = Samples {
        bad: &[
            ("runtime/src/session.rs", "#[cfg(feature = \"cuda\")]"),
            ("runtime/src/lib.rs", "#[cfg(feature = \"cuda\")]"),
            ("cli/src/a.rs", "if cfg!(not(feature = \"cuda\")) {}"),
        ],
        good: &[
            ("runtime/src/device.rs", "#[cfg(feature = \"cuda\")]"),
            ("runtime/src/lib.rs", "#[cfg(any(test, feature = \"testing\"))]"),
            ("runtime/src/a.rs", "// cfg(feature = \"cuda\")"),
        ],
    };
    hold("features_stay_at_the_rim", features_out_of_place, &samples);
    let mentions: usize = sources().iter().map(|source| feature_lines(source).len()).sum();
    assert!(mentions <= MOST_FEATURE_MENTIONS, "{mentions} mentions of cfg(feature, at most 19");
}

#[test]
fn every_test_runs_and_asserts() {
    let samples = Samples {
        bad: &[
            ("a/src/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn a() {}"),
            ("a/src/a.rs", "#[test]\n#[should_panic(expected = \"b\")]\nfn a() {}"),
        ],
        good: &[("a/src/a.rs", "#[test]\nfn a() {} // #[ignore]")],
    };
    hold("every_test_runs_and_asserts", silent_tests, &samples);
}

#[test]
fn notes_name_an_issue() {
    let later = ["TO", "DO"].concat();
    let broken = format!("// {}: broken", ["FIX", "ME"].concat());
    let bad = [format!("// {later}: later"), format!("# {later}"), broken];
    assert!(bad.iter().all(|text| !notes(text).is_empty()), "blind to {bad:?}");
    let good = [format!("// {later}(#12): later"), format!("// {later} #12"), format!("M{later}S")];
    assert!(good.iter().all(|text| notes(text).is_empty()), "refuses {good:?}");

    let mut found = Vec::new();
    for source in sources() {
        let lines = notes(&source.comments).into_iter();
        found
            .extend(lines.map(|(line, what)| {
                format!("{}:{line}: notes_name_an_issue: {what}", source.path)
            }));
    }
    let scripts = [".py", ".sh", ".toml", ".yml", ".ci/run"];
    for path in files().iter().filter(|path| scripts.iter().any(|end| path.ends_with(end))) {
        let lines = notes(&read(path)).into_iter();
        found.extend(
            lines.map(|(line, what)| format!("{path}:{line}: notes_name_an_issue: {what}")),
        );
    }
    none(found);
}
