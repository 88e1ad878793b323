//! Three toy policies that a rule can judge: no digit, no colour, no command.
//!
//! The rule is exact and is used twice: as the judge of finished answers, and as the perfect perceiver of unfinished ones.
//! It speaks of a word only when the word is over, so that "red" is not seen in "reduce"; until then the word is
//! undecided and nothing may be shown of it.

use trimtab_runtime::monitor::{AnswerView, Stage};
use trimtab_steering::monitor::{Action, Detection, Detector, Finding};

/// What is never to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toy {
    /// A digit from 0 to 9.
    Digits,
    /// A word of `colours.words.txt`, in any case.
    Colours,
    /// A sentence, line or list item whose first word is in `imperatives.words.txt`.
    Imperatives,
}

/// Everything about a policy that is data.
pub struct Material {
    pub name: &'static str,
    prompts: &'static str,
    words: &'static str,
    /// The policy file.
    pub policy: &'static str,
    /// The same wish in the prompt.
    pub instruction: &'static str,
}

impl Toy {
    pub const ALL: [Toy; 3] = [Toy::Digits, Toy::Colours, Toy::Imperatives];

    pub fn named(name: &str) -> Option<Toy> {
        Toy::ALL.into_iter().find(|toy| toy.material().name == name)
    }

    pub fn material(self) -> Material {
        match self {
            Toy::Digits => Material {
                name: "digits",
                prompts: include_str!("toy/digits.txt"),
                words: "",
                policy: include_str!("toy/digits.toml"),
                instruction: "Do not use any digits in your answer; write every number as a word.",
            },
            Toy::Colours => Material {
                name: "colours",
                prompts: include_str!("toy/colours.txt"),
                words: include_str!("toy/colours.words.txt"),
                policy: include_str!("toy/colours.toml"),
                instruction: "Do not name any colour in your answer.",
            },
            Toy::Imperatives => Material {
                name: "imperatives",
                prompts: include_str!("toy/imperatives.txt"),
                words: include_str!("toy/imperatives.words.txt"),
                policy: include_str!("toy/imperatives.toml"),
                instruction: "Do not give commands: begin no sentence and no list item with a verb, \
                              and describe in the third person what people do.",
            },
        }
    }
}

impl Material {
    pub fn prompts(&self) -> Vec<&'static str> {
        self.prompts.lines().collect()
    }

    pub fn words(&self) -> Vec<&'static str> {
        self.words.lines().collect()
    }
}

/// The rule of a policy.
#[derive(Debug, Clone)]
pub struct Rule {
    toy: Toy,
    words: Vec<&'static str>,
}

/// A word of a text that the rule is about.
struct Word<'a> {
    at: usize,
    text: &'a str,
}

impl Rule {
    pub fn of(toy: Toy) -> Rule {
        Rule { toy, words: toy.material().words() }
    }

    /// Where the first violation of a finished text begins.
    pub fn judge(&self, text: &str) -> Option<usize> {
        self.find(text, Stage::Ended)
    }

    fn find(&self, text: &str, stage: Stage) -> Option<usize> {
        if self.toy == Toy::Digits {
            return text.find(|c: char| c.is_ascii_digit());
        }
        let over = |w: &Word| stage == Stage::Ended || w.at + w.text.len() < text.len();
        let listed = |w: &Word| self.words.iter().any(|listed| w.text.eq_ignore_ascii_case(listed));
        self.eligible(text).into_iter().find(|w| over(w) && listed(w)).map(|w| w.at)
    }

    /// The words that the rule is about: all, or those at the beginning of sentences, lines and list items.
    fn eligible<'a>(&self, text: &'a str) -> Vec<Word<'a>> {
        let mut found = Vec::new();
        let mut rest = text.char_indices().peekable();
        let (mut start, mut stopped) = (true, false);
        while let Some((at, c)) = rest.next() {
            if !c.is_alphabetic() {
                // A stop ends a sentence if no letter or figure follows it at once, as in "3.5".
                start |= c == '\n' || (stopped && !c.is_alphanumeric());
                stopped = matches!(c, '.' | '!' | '?' | ':');
                continue;
            }
            let mut end = at + c.len_utf8();
            while let Some((next, c)) = rest.next_if(|(_, c)| self.goes_on(*c)) {
                end = next + c.len_utf8();
            }
            if start || self.toy == Toy::Colours {
                found.push(Word { at, text: &text[at..end] });
            }
            (start, stopped) = (false, false);
        }
        found
    }

    /// Whether a word goes on: "don't" and "check-in" are words of their own, "blue-green" is two.
    fn goes_on(&self, c: char) -> bool {
        c.is_alphabetic() || (self.toy == Toy::Imperatives && matches!(c, '\'' | '’' | '-'))
    }
}

impl Detector for Rule {
    fn detect(&mut self, answer: &AnswerView) -> trimtab_runtime::Result<Detection> {
        let Some(at) = self.find(answer.text, answer.stage) else {
            return Ok(Detection::Found(Finding::new(Action::Continue, 0.0, -1.0)));
        };
        let onset = answer.ends.iter().position(|end| *end > at);
        Ok(Detection::Found(Finding { onset, ..Finding::new(Action::Rollback, 1.0, 1.0) }))
    }

    // Everything is read off the text.
    fn rewind(&mut self, _tokens: usize) {}

    fn undecided(&self, text: &str) -> usize {
        if self.toy == Toy::Digits {
            return 0;
        }
        let last = self.eligible(text).pop().filter(|w| w.at + w.text.len() == text.len());
        let Some(Word { text: word, .. }) = last else { return 0 };
        let lower = word.to_lowercase();
        let may = self.words.iter().any(|listed| listed.starts_with(&lower));
        if may { word.len() } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_is_a_digit() {
        let rule = Rule::of(Toy::Digits);
        assert_eq!(rule.judge("in 1914"), Some(3));
        assert_eq!(rule.judge("in nineteen"), None);
    }

    #[test]
    fn colours_are_whole_words() {
        let rule = Rule::of(Toy::Colours);
        assert_eq!(rule.judge("the Red sea"), Some(4));
        assert_eq!(rule.judge("reduced, coloured, reddish"), None);
        assert_eq!(rule.find("it is red", Stage::Unfolding), None);
        assert_eq!(rule.undecided("it is red"), 3);
        assert_eq!(rule.undecided("it is re"), 2);
        assert_eq!(rule.undecided("it is rex"), 0);
        assert_eq!(rule.find("it is red.", Stage::Unfolding), Some(6));
    }

    #[test]
    fn commands_begin_sentences_lines_and_items() {
        let rule = Rule::of(Toy::Imperatives);
        for (text, at) in [
            ("Boil the egg", Some(0)),
            ("Well. Boil the egg", Some(6)),
            ("Well:\n\n1. **Boil** it", Some(12)),
            ("Well\n- boil it", Some(7)),
            ("You boil it. People use 3.5 of it", None),
            ("Boiling it. Don't use it", None),
            ("Eggs, boil them", None),
        ] {
            assert_eq!(rule.judge(text), at, "{text}");
        }
        assert_eq!(rule.undecided("So. Boi"), 3);
        assert_eq!(rule.undecided("So boi"), 0);
    }
}
