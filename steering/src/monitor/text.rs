//! Words and patterns: a perceiver that reads the text.

use super::detect::{Action, Detection, Detector, Finding};
use crate::error::{Error, Result};
use regex::{Regex, RegexBuilder};
use trimtab_runtime::monitor::AnswerView;

/// The most bytes a compiled pattern may take, and what it keeps while it is looked for.
const MOST_BYTES: usize = 256 << 10;
const MOST_STATES: usize = 1 << 20;
/// Bytes at a text's end in which something is looked for: what lies before has been looked at. No longer match is found.
const REACH: usize = 4096;
/// Characters of what was found that a finding tells.
const TOLD: usize = 64;

/// Finds any of some texts, or of some patterns.
#[derive(Debug, Clone)]
pub struct Lexical {
    texts: Vec<String>,
    patterns: Vec<Regex>,
}

impl Lexical {
    /// Texts as they are written, and regular expressions in the `regex` crate's syntax. At least one of either; none may
    /// match the empty text, which is everywhere.
    pub fn new(texts: &[String], patterns: &[String]) -> Result<Lexical> {
        if texts.is_empty() && patterns.is_empty() {
            return Err(Error::setting(
                "any",
                "and regex are both empty, expected a text or a pattern",
            ));
        }
        if texts.iter().any(String::is_empty) {
            return Err(Error::setting("any", "holds an empty text, which is everywhere"));
        }
        let pattern = |pattern: &String| {
            let built = RegexBuilder::new(pattern)
                .size_limit(MOST_BYTES)
                .dfa_size_limit(MOST_STATES)
                .build();
            let built = built.map_err(|error| {
                // The library draws the pattern over several lines; the last of them says what is wrong.
                let told = error.to_string();
                let told = told.lines().last().unwrap_or_default();
                let told = told.strip_prefix("error: ").unwrap_or(told);
                Error::setting("regex", format!("{pattern:?} is no pattern: {told}"))
            })?;
            match built.is_match("") {
                true => Err(Error::setting("regex", format!("{pattern:?} matches the empty text"))),
                false => Ok(built),
            }
        };
        let patterns = patterns.iter().map(pattern).collect::<Result<_>>()?;
        Ok(Lexical { texts: texts.to_vec(), patterns })
    }

    /// The first place where something is found.
    fn find(&self, text: &str) -> Option<(usize, String)> {
        let from = text.len().saturating_sub(REACH);
        let from = (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let tail = text.get(from..).unwrap_or_default();
        let texts =
            self.texts.iter().filter_map(|t| Some((from + tail.find(t.as_str())?, t.as_str())));
        // What stands before the tail still says whether a line or a word begins there.
        let patterns = self.patterns.iter().filter_map(|pattern| pattern.find_at(text, from));
        let patterns = patterns.map(|found| (found.start(), found.as_str()));
        let (at, what) = texts.chain(patterns).min_by_key(|(at, _)| *at)?;
        Some((at, what.chars().take(TOLD).collect()))
    }
}

impl Detector for Lexical {
    fn detect(&mut self, answer: &AnswerView) -> trimtab_runtime::Result<Detection> {
        let Some((at, what)) = self.find(answer.text) else {
            return Ok(Detection::Found(Finding::new(Action::Continue, 0.0, -1.0)));
        };
        let onset = answer.ends.iter().position(|end| *end > at);
        Ok(Detection::Found(Finding {
            onset,
            note: Some(format!("{what:?}")),
            ..Finding::new(Action::Rollback, 1.0, 1.0)
        }))
    }

    // Everything is read off the text.
    fn rewind(&mut self, _tokens: usize) {}

    /// What could become one of the texts. Of patterns nothing is known.
    fn undecided(&self, text: &str) -> usize {
        let longest_start = |whole: &String| {
            let starts = whole.char_indices().map(|(i, _)| i).skip(1);
            starts.filter(|i| text.ends_with(&whole[..*i])).max().unwrap_or(0)
        };
        self.texts.iter().map(longest_start).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trimtab_runtime::monitor::Stage;

    fn seen<'a>(text: &'a str, ends: &'a [usize]) -> AnswerView<'a> {
        AnswerView {
            tokens: &[],
            text,
            ends,
            places: &[],
            step: None,
            sensed: None,
            stage: Stage::Unfolding,
            attempt: 0,
            room: 100,
        }
    }

    fn look(lexical: &mut Lexical, text: &str, ends: &[usize]) -> Finding {
        match lexical.detect(&seen(text, ends)).unwrap() {
            Detection::Found(found) => found,
            Detection::Ask(_) => panic!("it reads text"),
        }
    }

    #[test]
    fn the_onset_is_the_token_in_which_it_begins() {
        let mut lexical = Lexical::new(&["red".into()], &["[0-9]+".into()]).unwrap();
        assert_eq!(look(&mut lexical, "a bed", &[2, 5]).action, Action::Continue);
        let found = look(&mut lexical, "it is 42 or red", &[3, 6, 8, 12, 15]);
        assert_eq!((found.action, found.onset), (Action::Rollback, Some(2)));
        assert_eq!(found.note.as_deref(), Some("\"42\""));
        assert_eq!(lexical.undecided("it was re"), 2);
        assert_eq!(lexical.undecided("it was"), 0);
    }

    #[test]
    fn only_the_end_of_a_long_text_is_looked_at_and_little_of_it_told() {
        let mut lexical = Lexical::new(&[], &["(?m)^b+".into()]).unwrap();
        let long = format!("b\n{}", "ab".repeat(4000));
        assert_eq!(look(&mut lexical, &long, &[]).action, Action::Continue, "no line begins there");
        let found = look(&mut lexical, &format!("{long}\n{}", "b".repeat(500)), &[]);
        assert_eq!(found.note.map(|note| note.len()), Some(64 + 2));
    }

    #[test]
    fn what_is_everywhere_or_broken_is_refused() {
        let refused = |texts: &[&str], patterns: &[&str]| {
            let own = |all: &[&str]| all.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
            Lexical::new(&own(texts), &own(patterns)).unwrap_err().to_string()
        };
        assert!(refused(&[], &[]).contains("both empty"));
        assert!(refused(&[""], &[]).contains("everywhere"));
        assert!(refused(&[], &["a*"]).contains("matches the empty text"));
        assert_eq!(refused(&[], &["("]), "regex \"(\" is no pattern: unclosed group");
        assert!(refused(&[], &[r"(\w{1000}){1000}"]).starts_with("regex "));
    }
}
