//! Rules: whether an answer has a property, decided by program and never by a model.
//!
//! A rule is written as a text (`exclaims`, `words:2-20`, `regex:^\d+$`) so that it can stand on a command line and in
//! a result. Each is deliberately simple: what it counts can be checked by eye, and its known mistakes are the same
//! for every arm of a comparison.

mod json;
mod language;
mod refusal;

#[cfg(test)]
mod tests;

use super::reply::{End, Reply, words};
use crate::error::{Error, Result};
use regex::Regex;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

pub use language::Language;

/// The share of letters that must be upper case for [`Rule::Capitals`], in per cent.
const CAPITALS_PERCENT: usize = 90;
/// The fewest letters of which [`Rule::Capitals`] says anything.
const CAPITALS_LETTERS: usize = 10;
/// The fewest lines that make a list.
const LIST_LINES: usize = 2;

/// A property that an answer has or has not.
#[derive(Debug, Clone)]
pub enum Rule {
    /// `exclaims`: at least one exclamation mark.
    Exclaims,
    /// `refusal`: begins as refusals begin ("I'm sorry", "I can't", "As an AI"), whatever case and apostrophe.
    Refusal,
    /// `words:2-20`: so many words, and the model itself ended the answer.
    Words(RangeInclusive<usize>),
    /// `list`: at least two lines that begin with `-`, `*`, `•` or a number and a full stop or bracket.
    List,
    /// `capitals`: at least 10 letters, at least 90 % of those with case upper case.
    Capitals,
    /// `json`: nothing but one JSON object or array, a code fence around it allowed.
    Json,
    /// `regex:PATTERN`: the pattern is found.
    Regex(Regex),
    /// `lexicon:sun,moon:0.05`: at least this share of the words are among these, case ignored.
    Lexicon {
        /// In lower case.
        words: BTreeSet<String>,
        /// Of all words, above 0 and at most 1.
        share: f64,
    },
    /// `language:en`: likelier in this language than in any other that is known.
    Language(Language),
}

impl Rule {
    /// Reads a rule.
    pub fn parse(text: &str) -> Result<Rule> {
        let (name, rest) = text.split_once(':').map_or((text, None), |(n, r)| (n, Some(r)));
        match (name.trim(), rest) {
            ("exclaims", None) => Ok(Rule::Exclaims),
            ("refusal", None) => Ok(Rule::Refusal),
            ("list", None) => Ok(Rule::List),
            ("capitals", None) => Ok(Rule::Capitals),
            ("json", None) => Ok(Rule::Json),
            ("words", Some(range)) => Ok(Rule::Words(parse_range(range)?)),
            ("regex", Some(pattern)) => parse_regex(pattern),
            ("lexicon", Some(rest)) => parse_lexicon(rest),
            ("language", Some(code)) => Ok(Rule::Language(Language::parse(code.trim())?)),
            _ => Err(refused(text, KNOWN)),
        }
    }

    /// Whether an answer has the property.
    pub fn passes(&self, reply: &Reply) -> bool {
        let text = reply.text.as_str();
        match self {
            // The full-width mark is what East Asian texts end sentences with.
            Rule::Exclaims => text.contains(['!', '\u{ff01}']),
            Rule::Refusal => refusal::opens(text),
            Rule::Words(range) => reply.end == End::Itself && range.contains(&reply.words()),
            Rule::List => text.lines().filter(|line| is_item(line)).count() >= LIST_LINES,
            Rule::Capitals => is_capitals(text),
            Rule::Json => json::is_whole(text),
            Rule::Regex(regex) => regex.is_match(text),
            Rule::Lexicon { words, share } => share_of(text, words) >= *share,
            Rule::Language(language) => language.is_of(text),
        }
    }
}

/// Rules are equal when they are written alike.
impl PartialEq for Rule {
    fn eq(&self, other: &Rule) -> bool {
        self.to_string() == other.to_string()
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Exclaims => f.write_str("exclaims"),
            Rule::Refusal => f.write_str("refusal"),
            Rule::List => f.write_str("list"),
            Rule::Capitals => f.write_str("capitals"),
            Rule::Json => f.write_str("json"),
            Rule::Words(range) => write!(f, "words:{}-{}", range.start(), range.end()),
            Rule::Regex(regex) => write!(f, "regex:{regex}"),
            Rule::Lexicon { words, share } => {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                write!(f, "lexicon:{}:{share}", words.join(","))
            }
            Rule::Language(language) => write!(f, "language:{}", language.code()),
        }
    }
}

const KNOWN: &str = "expected exclaims, refusal, words:2-20, list, capitals, json, regex:PATTERN, lexicon:WORD,WORD:SHARE \
     or language:en";

fn refused(text: &str, problem: impl Into<String>) -> Error {
    Error::Rule { text: text.to_owned(), problem: problem.into() }
}

fn parse_range(text: &str) -> Result<RangeInclusive<usize>> {
    let ends = text.split_once('-').and_then(|(low, high)| {
        let low: usize = low.trim().parse().ok()?;
        let high: usize = high.trim().parse().ok()?;
        (low <= high).then_some(low..=high)
    });
    ends.ok_or_else(|| refused(text, "expected two whole numbers, the smaller first, as in 2-20"))
}

fn parse_regex(pattern: &str) -> Result<Rule> {
    Regex::new(pattern).map(Rule::Regex).map_err(|e| refused(pattern, e.to_string()))
}

/// `word,word:share`; words hold no colon, so the last one separates.
fn parse_lexicon(text: &str) -> Result<Rule> {
    let problem =
        "expected words and their share of all words, above 0 and at most 1, as in sun,moon:0.05";
    let parts = text.rsplit_once(':').and_then(|(list, share)| {
        let share: f64 = share.trim().parse().ok()?;
        let words = list.split(',').map(|word| word.trim().to_lowercase());
        let words: BTreeSet<String> = words.filter(|word| !word.is_empty()).collect();
        (share > 0.0 && share <= 1.0 && !words.is_empty()).then_some(Rule::Lexicon { words, share })
    });
    parts.ok_or_else(|| refused(text, problem))
}

/// Whether a line begins as an item of a list does, and says something behind the mark.
fn is_item(line: &str) -> bool {
    let line = line.trim_start();
    let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let rest = match digits {
        // `**bold**` and `---` are no marks: something other than the mark follows it.
        0 => line.strip_prefix(['-', '*', '\u{2022}']).filter(|rest| !rest.starts_with(['-', '*'])),
        // A year or a sum that happens to begin a line has more digits or a fraction.
        1..=3 => line.get(digits..).and_then(|rest| rest.strip_prefix(['.', ')'])),
        _ => None,
    };
    rest.is_some_and(|rest| {
        !rest.trim().is_empty() && !rest.starts_with(|c: char| c.is_ascii_digit())
    })
}

fn is_capitals(text: &str) -> bool {
    let upper = text.chars().filter(|c| c.is_uppercase()).count();
    let cased = upper + text.chars().filter(|c| c.is_lowercase()).count();
    cased >= CAPITALS_LETTERS && 100 * upper >= CAPITALS_PERCENT * cased
}

/// The share of a text's words that are among these; 0 of no words.
fn share_of(text: &str, lexicon: &BTreeSet<String>) -> f64 {
    let (mut all, mut found) = (0usize, 0usize);
    for word in words(text) {
        all += 1;
        found += usize::from(lexicon.contains(&word.to_lowercase()));
    }
    found as f64 / all.max(1) as f64
}
