//! Following message text through a chat template, character by character.
//!
//! Sentinels around a message do not survive templates: `| trim` no longer sees the white space inside them,
//! `split` tears the pair apart. Instead every character of a message is replaced by a private-use character
//! that stands for it, one for one. Lengths, slices, trimming and white space come out as they would have,
//! and afterwards each character says by itself whether a message wrote it. A rendering so covered must read,
//! when uncovered, exactly like the plain rendering; otherwise the template looked at the text itself and
//! the cover has changed what it did.
//!
//! Templates that look for something (`'</think>' in content`) name it in a string literal. The second kind
//! of cover leaves such literals readable, unless they touch a control token.

use super::python::is_space;
use super::rendered::{Origin, Rendered};
use std::collections::{HashMap, HashSet};

/// Message texts under cover, and the way back.
pub(crate) struct Cover {
    /// The covered texts, in order.
    pub(crate) texts: Vec<String>,
    back: HashMap<char, char>,
}

impl Cover {
    /// Covers texts. `avoid` holds characters that may not stand for others; `literals` stay readable.
    /// `None` if the texts have more different characters than there are stand-ins.
    pub(crate) fn new(texts: &[&str], avoid: &HashSet<char>, literals: &[String]) -> Option<Self> {
        let mut free = ('\u{f0000}'..='\u{ffffd}')
            .chain('\u{100000}'..='\u{10fffd}')
            .filter(|c| !avoid.contains(c));
        let mut forth = HashMap::new();
        let mut covered = Vec::with_capacity(texts.len());
        for text in texts {
            let readable = readable(text, literals);
            let mut cover = String::with_capacity(text.len());
            for (at, c) in text.char_indices() {
                let keep = is_space(c) || readable.get(at).copied().unwrap_or(false);
                cover.push(if keep { c } else { stand_in(&mut forth, &mut free, c)? });
            }
            covered.push(cover);
        }
        let back = forth.into_iter().map(|(c, stand_in)| (stand_in, c)).collect();
        Some(Self { texts: covered, back })
    }

    /// Takes the cover off a rendering; `None` if it does not then read like `plain`.
    pub(crate) fn lift(&self, rendering: &str, plain: &str) -> Option<Rendered> {
        let mut rendered = Rendered::default();
        let mut space = String::new();
        let mut before = Origin::Template;
        for c in rendering.chars() {
            if is_space(c) {
                space.push(c);
                continue;
            }
            let (c, origin) = match self.back.get(&c) {
                Some(c) => (*c, Origin::Content),
                None => (c, Origin::Template),
            };
            // White space has no stand-in; between two characters of a message it is the message's.
            let both = before == Origin::Content && origin == Origin::Content;
            let owner = if both { Origin::Content } else { Origin::Template };
            if !space.is_empty() {
                rendered.push(&space, owner);
                space.clear();
            }
            rendered.push(c.encode_utf8(&mut [0; 4]), origin);
            before = origin;
        }
        if !space.is_empty() {
            rendered.push(&space, Origin::Template);
        }
        (rendered.text() == plain).then_some(rendered)
    }
}

fn stand_in(
    forth: &mut HashMap<char, char>,
    free: &mut impl Iterator<Item = char>,
    c: char,
) -> Option<char> {
    if let Some(known) = forth.get(&c) {
        return Some(*known);
    }
    let fresh = free.next()?;
    forth.insert(c, fresh);
    Some(fresh)
}

/// By byte: whether it belongs to a literal.
fn readable(text: &str, literals: &[String]) -> Vec<bool> {
    let mut readable = vec![false; if literals.is_empty() { 0 } else { text.len() }];
    for literal in literals {
        for (at, found) in text.match_indices(literal.as_str()) {
            if let Some(bytes) = readable.get_mut(at..at + found.len()) {
                bytes.fill(true);
            }
        }
    }
    readable
}

/// The string literals in a template's tags, without those that are white space or that could be a part of
/// a control token's text.
pub(crate) fn literals<'a>(
    source: &str,
    controls: impl Iterator<Item = &'a str> + Clone,
) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for open in ["{%", "{{"] {
        for tag in source.split(open).skip(1) {
            let close = if open == "{%" { "%}" } else { "}}" };
            collect_quoted(tag.split(close).next().unwrap_or_default(), &mut found);
        }
    }
    found.sort();
    found.dedup();
    found.retain(|literal| {
        !literal.chars().all(is_space) && controls.clone().all(|control| !touches(literal, control))
    });
    found
}

fn collect_quoted(tag: &str, found: &mut Vec<String>) {
    let mut chars = tag.chars();
    while let Some(quote) = chars.next() {
        if quote != '\'' && quote != '"' {
            continue;
        }
        let mut literal = String::new();
        while let Some(c) = chars.next().filter(|c| *c != quote) {
            literal.push(if c == '\\' { escaped(chars.next()) } else { c });
        }
        found.push(literal);
    }
}

fn escaped(c: Option<char>) -> char {
    match c {
        Some('n') => '\n',
        Some('t') => '\t',
        Some('r') => '\r',
        Some(c) => c,
        None => '\\',
    }
}

/// Whether one text lies in the other, or the end of one is the beginning of the other.
fn touches(a: &str, b: &str) -> bool {
    let overlaps = |a: &str, b: &str| {
        a.char_indices().any(|(at, _)| a.get(at..).is_some_and(|tail| b.starts_with(tail)))
    };
    a.contains(b) || b.contains(a) || overlaps(a, b) || overlaps(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_that_touch_a_control_token_are_left_out() {
        let source =
            "isn't {{ '</think>' }}{% if x == \"<|im\" %}{{ '\\n' + 'user|>' + 'it\\'s' }}";
        let controls = ["<|im_end|>", "<|user|>"];
        assert_eq!(literals(source, controls.into_iter()), ["</think>", "it's"]);
    }

    #[test]
    fn every_character_comes_back() {
        let text = "a\u{f0000} b<|x|>\u{10fffd}";
        let cover = Cover::new(&[text], &HashSet::new(), &[]).unwrap();
        let covered = &cover.texts[0];
        assert!(text.chars().zip(covered.chars()).all(|(a, b)| (a == b) == (a == ' ')));
        let rendered = cover.lift(&format!("<{covered}> "), &format!("<{text}> ")).unwrap();
        assert_eq!(rendered.content_ranges()[0], 1..1 + text.len());
        assert!(cover.lift(&format!("<{covered}>"), &format!("<{text}> ")).is_none());
    }
}
