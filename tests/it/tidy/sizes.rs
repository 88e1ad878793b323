//! A file is read in one sitting, a function at one glance.
//!
//! Clippy counts a function's lines without blanks and comments; here every line counts, because
//! the reader's eye meets them all.

use super::functions::functions;
use super::tree::{Source, sources};
use super::{Findings, Samples, hold};

const LONGEST_FILE: usize = 600;
const MEDIAN_FILE: usize = 200;
const LONGEST_FUNCTION: usize = 80;
const MOST_FUNCTIONS: usize = 25;

/// Flat tables, whose entries all have the same form, may pass [`LONGEST_FILE`].
const FLAT_TABLES: [&str; 0] = [];

/// The value below or at which `percent` of the values lie; 0 of none.
fn percentile(mut values: Vec<usize>, percent: usize) -> usize {
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

fn long_file(source: &Source) -> Findings {
    let lines = source.text.lines().count();
    let long = lines > LONGEST_FILE && !FLAT_TABLES.contains(&source.path.as_str());
    if long { vec![(lines, format!("{lines} lines, at most {LONGEST_FILE}"))] } else { Vec::new() }
}

fn long_functions(source: &Source) -> Findings {
    let functions = functions(&source.code).into_iter();
    let long = functions.filter(|function| function.length > LONGEST_FUNCTION);
    let what = |name, length| format!("{name} has {length} lines, at most {LONGEST_FUNCTION}");
    long.map(|function| (function.line, what(function.name, function.length))).collect()
}

/// The lengths of the functions that are not test code.
fn lengths(sources: &[Source]) -> Vec<usize> {
    let of = |source: &Source| {
        let all = functions(&source.code).into_iter();
        let own = all.filter(|function| !source.is_test(function.line));
        own.map(|function| function.length).collect::<Vec<_>>()
    };
    sources.iter().flat_map(of).collect()
}

#[test]
fn percentiles_are_by_nearest_rank() {
    assert_eq!(percentile(vec![], 90), 0);
    assert_eq!(percentile(vec![5], 90), 5);
    assert_eq!(percentile((1..=10).rev().collect(), 90), 9);
    assert_eq!(percentile(vec![3, 1, 2], 50), 2);
}

#[test]
fn files_fit_one_sitting() {
    let (long, short) = ("\n".repeat(LONGEST_FILE + 1), "\n".repeat(LONGEST_FILE));
    let samples = Samples { bad: &[("a/src/a.rs", &long)], good: &[("a/src/a.rs", &short)] };
    hold("files_fit_one_sitting", long_file, &samples);
}

#[test]
fn most_files_are_short() {
    let median = percentile(sources().iter().map(|s| s.text.lines().count()).collect(), 50);
    println!("median file: {median} lines of {} files", sources().len());
    assert!(median <= MEDIAN_FILE, "median file: {median} lines, at most {MEDIAN_FILE}");
}

#[test]
fn functions_fit_one_screen() {
    let of = |lines: usize| format!("fn a() {{{}}}", "\n".repeat(lines - 1));
    let (long, short) = (of(LONGEST_FUNCTION + 1), of(LONGEST_FUNCTION));
    let samples = Samples { bad: &[("a/src/a.rs", &long)], good: &[("a/src/a.rs", &short)] };
    hold("functions_fit_one_screen", long_functions, &samples);
}

#[test]
fn most_functions_fit_one_glance() {
    let made_up = "fn a() {}\n#[cfg(test)]\nmod t {\n fn b() {\n\n}\n}\nfn c() {\n}";
    assert_eq!(lengths(&[Source::new("a/src/a.rs", made_up)]), [1, 2]);

    let lengths = lengths(sources());
    let count = lengths.len();
    let ninetieth = percentile(lengths, 90);
    println!("90th percentile: {ninetieth} lines of {count} functions");
    assert!(
        ninetieth <= MOST_FUNCTIONS,
        "90th percentile of {count} functions: {ninetieth} lines, at most {MOST_FUNCTIONS}"
    );
}
