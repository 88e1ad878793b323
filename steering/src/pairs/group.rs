//! What a pair of prompts is about, so that one question is never in two parts.
//!
//! Prompts of a pair share a question at their beginning (the instruction follows) or at their end (it leads). Which text
//! that is shows only in the whole file: it comes again with other instructions. A beginning or an end that every pair has
//! is a frame and no question.

use super::{Item, Sides};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
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
    let (in_first, in_second) = (Edges::of(first), Edges::of(second));
    let mut cuts = (1..=alike(first, second)).rev().filter(|at| first.is_char_boundary(*at));
    let cut = cuts.find(|at| in_first.is_edge(*at) && in_second.is_edge(*at));
    first[..cut.unwrap_or(0)].trim().to_owned()
}

/// How both texts end, from the first line or sentence that begins in both.
fn end(first: &str, second: &str) -> String {
    let pairs = first.chars().rev().zip(second.chars().rev());
    let most: usize = pairs.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    let (from_first, from_second) = (first.len() - most, second.len() - most);
    let (in_first, in_second) = (Edges::of(first), Edges::of(second));
    let mut cuts = (0..most).filter(|skip| first.is_char_boundary(from_first + skip));
    let is_edge =
        |skip: &usize| in_first.is_edge(from_first + skip) && in_second.is_edge(from_second + skip);
    let cut = cuts.find(is_edge);
    first[from_first + cut.unwrap_or(most)..].trim().to_owned()
}

/// Where lines and sentences of a text end: in its runs of white space, which are found once.
struct Edges {
    /// Runs that are edges, in their order.
    runs: Vec<RangeInclusive<usize>>,
    len: usize,
}

impl Edges {
    fn of(text: &str) -> Edges {
        let (mut runs, mut start, mut behind_sentence) = (Vec::new(), None, false);
        let mut has_line = false;
        for (at, c) in text.char_indices().chain([(text.len(), 'x')]) {
            if c.is_whitespace() {
                start.get_or_insert(at);
                has_line |= c == '\n';
                continue;
            }
            if let Some(start) = start.take() {
                // Before the first word, and behind the last one, everything is an edge.
                if start == 0 || at == text.len() || behind_sentence || has_line {
                    runs.push(start..=at);
                }
            }
            has_line = false;
            behind_sentence = matches!(c, '.' | '!' | '?' | ':' | '。' | '！' | '？');
        }
        Edges { runs, len: text.len() }
    }

    /// Whether a line or a sentence ends at a byte, or the text begins or ends there.
    fn is_edge(&self, at: usize) -> bool {
        let before = self.runs.partition_point(|run| run.end() < &at);
        at == 0 || at == self.len || self.runs.get(before).is_some_and(|run| run.contains(&at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    /// The rule, byte by byte.
    fn is_edge(text: &str, at: usize) -> bool {
        let (before, after) = text.split_at(at);
        let (said, next) = (before.trim_end(), after.trim_start());
        let spaces =
            || before[said.len()..].chars().chain(after[..after.len() - next.len()].chars());
        let ends =
            said.ends_with(['.', '!', '?', ':', '。', '！', '？']) && spaces().next().is_some();
        said.is_empty() || next.is_empty() || ends || spaces().any(|c| c == '\n')
    }

    proptest! {
        #[test]
        fn edges_are_found_at_once(text in "[a. !\n\u{a0}。é]{0,24}") {
            let edges = Edges::of(&text);
            for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
                prop_assert_eq!(edges.is_edge(at), is_edge(&text, at), "{:?} at {}", text, at);
            }
        }
    }

    #[test]
    fn long_white_space_costs_no_time() {
        let text = |word: &str| format!("Be {word} 1x{}end", " ".repeat(80_000));
        let (first, second) = (text("glad"), text("dull"));
        let started = Instant::now();
        assert_eq!(
            (beginning(&first, &second), end(&first, &second)),
            (String::new(), String::new())
        );
        // Milliseconds; a look at every space from every space took a minute.
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
