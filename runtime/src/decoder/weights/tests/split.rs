//! Split GGUF sets: found by name, complete, and in agreement with themselves.

use super::{File, Scratch, contains, refusal};
use crate::decoder::weights::Weights;

fn part(number: u16, of: u16, name: &str) -> File {
    File::new()
        .entry("split.no", 2, &number.to_le_bytes())
        .entry("split.count", 2, &of.to_le_bytes())
        .entry("split.tensors.count", 5, &i32::from(of).to_le_bytes())
        .f32s(name, &[1], &[f32::from(number)])
}

fn two(scratch: &Scratch, second: &File) -> std::path::PathBuf {
    scratch.write("m-00002-of-00002.gguf", second.bytes());
    scratch.write("m-00001-of-00002.gguf", part(0, 2, "b").bytes())
}

#[test]
fn all_parts_open_as_one() {
    let scratch = Scratch::new();
    let weights = Weights::open(&two(&scratch, &part(1, 2, "a"))).unwrap();
    let names: Vec<_> = weights.tensors().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(weights.bytes("a").unwrap(), 1f32.to_le_bytes());
    assert_eq!(weights.bytes("b").unwrap(), 0f32.to_le_bytes());
}

#[test]
fn a_missing_part_is_named() {
    let scratch = Scratch::new();
    let first = scratch.write("m-00001-of-00003.gguf", part(0, 3, "a").bytes());
    scratch.write("m-00003-of-00003.gguf", part(2, 3, "c").bytes());
    contains(&refusal(&first), &["m-00002-of-00003.gguf is missing"]);
}

#[test]
fn a_later_part_names_the_first() {
    let scratch = Scratch::new();
    two(&scratch, &part(1, 2, "a"));
    let message = refusal(&scratch.0.join("m-00002-of-00002.gguf"));
    contains(&message, &["expected its first part", "m-00001-of-00002.gguf"]);
}

#[test]
fn parts_that_disagree_are_refused() {
    let scratch = Scratch::new();
    let message = refusal(&two(&scratch, &part(0, 2, "a")));
    contains(&message, &["00002-of", "split.no is 0, expected 1"]);
    let message = refusal(&two(&scratch, &part(1, 3, "a")));
    contains(&message, &["00002-of", "split.count is 3, expected 2"]);
    let message = refusal(&two(&scratch, &part(1, 2, "a").f32s("x", &[1], &[0.0])));
    contains(&message, &["split.tensors.count is 2, expected 3"]);
    let message = refusal(&two(&scratch, &part(1, 2, "b")));
    contains(&message, &["tensor b", "00001-of", "00002-of"]);
}

#[test]
fn a_renamed_part_is_not_taken_for_the_whole() {
    let scratch = Scratch::new();
    let path = scratch.write("model.gguf", part(0, 2, "a").bytes());
    contains(&refusal(&path), &["split.count is 2, expected 1"]);
}
