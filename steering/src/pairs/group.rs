//! What a pair of prompts is about, so that one question is never in two parts.
//!
//! Prompts of a pair share a question at their beginning (the instruction follows) or at their end (it leads). Which text
//! that is shows only in the whole file: it comes again with other instructions. A beginning or an end that every pair has
//! is a frame and no question.

use super::{Item, Sides};
use std::collections::BTreeMap;
use trimtab_runtime::text::Message;

/// The words of a conversation.
pub(super) fn spoken(messages: &[Message]) -> String {
    messages.iter().map(|m| m.content.as_str()).collect::<Vec<&str>>().join("\n")
}

/// Gives pairs of prompts without a group one: the question, where it comes again, otherwise what is theirs alone.
pub(super) fn fill(items: &mut [Item]) {
    let ends: Vec<[String; 2]> = items.iter().map(of_item).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for [begin, end] in &ends {
        *counts.entry(begin).or_default() += 1;
        if end != begin {
            *counts.entry(end).or_default() += 1;
        }
    }
    let all = items.len();
    for (item, ends) in items.iter_mut().zip(&ends) {
        let shared = |text: &&String| !text.is_empty() && counts.get(text.as_str()) < Some(&all);
        let rank =
            |text: &&String| (counts.get(text.as_str()).copied(), std::cmp::Reverse(text.len()));
        let question = ends.iter().filter(shared).min_by_key(rank);
        let again = question.filter(|text| counts.get(text.as_str()) > Some(&1));
        if let Sides::Prompts { positive, negative } = &item.sides
            && item.group.is_empty()
        {
            let own = || begun(&spoken(positive), &spoken(negative));
            item.group = again.cloned().unwrap_or_else(own);
        }
    }
}

fn of_item(item: &Item) -> [String; 2] {
    match &item.sides {
        Sides::Prompts { positive, negative } if item.group.is_empty() => {
            let (first, second) = (spoken(positive), spoken(negative));
            [beginning(&first, &second), end(&first, &second)]
        }
        Sides::Prompts { .. } | Sides::Answers { .. } | Sides::Labelled { .. } => {
            [String::new(), String::new()]
        }
    }
}

/// How both texts begin, where that is most of the shorter one; otherwise all of the first. Splits of files that were
/// published depend on it.
fn begun(first: &str, second: &str) -> String {
    let begun = &first[..alike(first, second)];
    let most = 2 * begun.len() >= first.len().min(second.len());
    if most { begun.to_owned() } else { first.to_owned() }
}

/// Bytes at the beginning that both texts share.
fn alike(first: &str, second: &str) -> usize {
    let pairs = first.chars().zip(second.chars());
    pairs.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
}

/// How both texts begin, up to the last line or sentence that ends in both.
fn beginning(first: &str, second: &str) -> String {
    let mut cuts = (1..=alike(first, second)).rev().filter(|at| first.is_char_boundary(*at));
    let cut = cuts.find(|at| is_edge(first, *at) && is_edge(second, *at));
    first[..cut.unwrap_or(0)].trim().to_owned()
}

/// How both texts end, from the first line or sentence that begins in both.
fn end(first: &str, second: &str) -> String {
    let pairs = first.chars().rev().zip(second.chars().rev());
    let most: usize = pairs.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    let (in_first, in_second) = (first.len() - most, second.len() - most);
    let mut cuts = (0..most).filter(|skip| first.is_char_boundary(in_first + skip));
    let cut =
        cuts.find(|skip| is_edge(first, in_first + skip) && is_edge(second, in_second + skip));
    first[in_first + cut.unwrap_or(most)..].trim().to_owned()
}

/// Whether a line or a sentence ends at a byte, or the text begins or ends there.
fn is_edge(text: &str, at: usize) -> bool {
    let (before, after) = text.split_at(at);
    let (said, next) = (before.trim_end(), after.trim_start());
    let spaces = || before[said.len()..].chars().chain(after[..after.len() - next.len()].chars());
    let ends = said.ends_with(['.', '!', '?', ':', '。', '！', '？']) && spaces().next().is_some();
    said.is_empty() || next.is_empty() || ends || spaces().any(|c| c == '\n')
}
