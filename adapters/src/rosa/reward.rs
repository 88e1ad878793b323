//! What a user typed, as a judgement of the answer before: a table of phrases, one file per language.
//!
//! Text that no rule is about teaches nothing, and most text is such: a wrong guess costs more than a missed one. So a
//! phrase counts only as the first clause of the first sentence, or as the whole of it, and in a question never.

use super::judgement::{Judgement, JudgementSource};
use crate::error::{Error, Result};
use serde::Deserialize;

/// Where in the first sentence a phrase must stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PhrasePlace {
    /// It is the first clause.
    Start,
    /// It is the whole sentence.
    Whole,
}

/// Some phrases that say the same, as they are written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PhraseRule {
    reward: f64,
    confidence: f64,
    place: PhrasePlace,
    phrases: Vec<String>,
}

/// One phrase and what it says.
#[derive(Debug, Clone, PartialEq)]
struct Phrase {
    words: Vec<String>,
    place: PhrasePlace,
    reward: f64,
    confidence: f64,
}

/// A language file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LanguageFile {
    language: String,
    #[serde(default)]
    openers: Vec<String>,
    #[serde(default)]
    followers: Vec<String>,
    #[serde(rename = "rule")]
    rules: Vec<PhraseRule>,
}

/// The checked rules of one language.
///
/// ```
/// use trimtab_adapters::rosa::RewardRules;
///
/// let rules = RewardRules::english().unwrap();
/// assert_eq!(rules.judge("No, that's wrong. It is 12.").unwrap().reward, -1.0);
/// assert!(rules.judge("What is wrong with my code?").is_none());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RewardRules {
    language: String,
    /// Words before a first clause that say nothing.
    openers: Vec<Vec<String>>,
    /// Words that begin a second clause.
    followers: Vec<String>,
    phrases: Vec<Phrase>,
}

/// The rules for English.
const ENGLISH: &str = include_str!("english.toml");

impl RewardRules {
    /// The rules for English.
    ///
    /// # Errors
    ///
    /// None: a test reads the file that is built in.
    pub fn english() -> Result<RewardRules> {
        RewardRules::read(ENGLISH)
    }

    /// Reads a language file, TOML.
    ///
    /// # Errors
    ///
    /// A text that is no such file, a number out of range, a phrase without words, or one that two rules have.
    pub fn read(text: &str) -> Result<RewardRules> {
        let refused = |problem: String| Error::invalid("language file", problem);
        let file: LanguageFile =
            toml::from_str(text).map_err(|error| refused(error.message().to_owned()))?;
        let mut phrases: Vec<Phrase> = Vec::new();
        for rule in &file.rules {
            let PhraseRule { reward, confidence, place, .. } = *rule;
            Judgement { confidence, ..Judgement::value(reward) }.check(0)?;
            for phrase in &rule.phrases {
                let words = plain_words(phrase);
                if words.is_empty() || phrases.iter().any(|known| known.words == words) {
                    return Err(refused(format!(
                        "has the phrase {phrase:?} twice, or no word in it"
                    )));
                }
                phrases.push(Phrase { words, place, reward, confidence });
            }
        }
        let openers = file.openers.iter().map(|opener| plain_words(opener)).collect();
        Ok(RewardRules { language: file.language, openers, followers: file.followers, phrases })
    }

    /// The language's name.
    pub fn language(&self) -> &str {
        &self.language
    }

    /// What a text says about the answer before it; `None` if no rule is about it, or rules disagree.
    pub fn judge(&self, text: &str) -> Option<Judgement> {
        let Phrase { reward, confidence, .. } = self.found(text)?;
        let source = JudgementSource::Text;
        Some(Judgement { confidence: *confidence, source, ..Judgement::value(*reward) })
    }

    /// The phrase that [`judge`](Self::judge) goes by, in lower case.
    pub fn phrase(&self, text: &str) -> Option<String> {
        Some(self.found(text)?.words.join(" "))
    }

    fn found(&self, text: &str) -> Option<&Phrase> {
        let (sentence, end) = first_sentence(text);
        if end == Some('?') {
            return None;
        }
        let words = words(sentence);
        self.beginnings(&words).into_iter().find_map(|words| self.matched(words))
    }

    /// The sentence, and what is left of it behind each opener.
    fn beginnings<'a>(&self, words: &'a [String]) -> Vec<&'a [String]> {
        let mut all = vec![words];
        let mut rest = words;
        let opened = |rest: &'a [String]| {
            let openers = self.openers.iter().filter(|opener| !opener.is_empty());
            openers
                .filter_map(|opener| rest.strip_prefix(opener.as_slice()))
                .min_by_key(|r| r.len())
        };
        while let Some(next) = opened(rest) {
            let commas = next.iter().take_while(|word| *word == CLAUSE).count();
            rest = next.get(commas..).unwrap_or_default();
            all.push(rest);
        }
        all
    }

    /// The longest phrase that is the first clause of these words, or all of them.
    fn matched(&self, words: &[String]) -> Option<&Phrase> {
        let whole: Vec<&String> = words.iter().filter(|word| *word != CLAUSE).collect();
        let ends = |rest: &[String]| {
            rest.first().is_none_or(|next| next == CLAUSE || self.followers.contains(next))
        };
        let fits = |phrase: &&Phrase| match phrase.place {
            PhrasePlace::Start => words.strip_prefix(phrase.words.as_slice()).is_some_and(ends),
            PhrasePlace::Whole => whole.iter().copied().eq(&phrase.words),
        };
        self.phrases.iter().filter(fits).max_by_key(|phrase| phrase.words.len())
    }
}

/// Up to the first mark that ends a sentence, or the first line, and the mark.
fn first_sentence(text: &str) -> (&str, Option<char>) {
    let text = text.trim_start();
    let ends = |c: char| matches!(c, '.' | '!' | '?' | '\n' | '。' | '！' | '？');
    match text.char_indices().find(|(_, c)| ends(*c)) {
        Some((at, mark)) => (&text[..at], Some(mark)),
        None => (text, None),
    }
}

/// What stands for a mark between clauses.
const CLAUSE: &str = ",";

/// Lower-case words, and a comma for every mark between clauses; an apostrophe is a letter.
fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase().replace('\u{2019}', "'");
    let text = text.replace([',', ';', ':', '\u{2014}', '\u{2013}', '(', '，'], " , ");
    let parts = text.split(|c: char| !c.is_alphanumeric() && c != '\'' && c != ',');
    parts.map(|word| word.trim_matches('\'')).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

fn plain_words(text: &str) -> Vec<String> {
    words(text).into_iter().filter(|word| word != CLAUSE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(text: &str) -> Option<f64> {
        RewardRules::english().unwrap().judge(text).map(|judgement| judgement.reward)
    }

    #[test]
    fn plain_judgements_are_read() {
        for text in [
            "That is wrong.",
            "no, that\u{2019}s wrong",
            "Hmm... ",
            "Wrong!",
            "I think that's not right, 7 * 8 is 56",
            "Sorry, but that is incorrect.\nPlease check.",
            "not quite",
            "That is wrong because 7 * 8 is 56",
            "no, it isn't",
        ] {
            assert_eq!(sign(text), Some(-1.0), "{text}");
        }
        for text in ["Correct!", "yes, that's right", "Perfect. Now sort it.", "That is not wrong."]
        {
            assert_eq!(sign(text), Some(1.0), "{text}");
        }
    }

    #[test]
    fn what_is_about_something_else_teaches_nothing() {
        for text in [
            "",
            "What is wrong with my code?",
            "Is that wrong?",
            "That is wrong?",
            "Tell me about the right to vote",
            "Right now I need a list",
            "The wrong answer is the one in the book",
            "Correct the spelling of this text",
            "My teacher said that is wrong",
            "No problem, go on",
            "Write a story about a wrong turn.",
            "It is wrong to lie. Discuss.",
            "This is right-aligned, make it centred",
        ] {
            assert_eq!(sign(text), None, "{text}");
        }
    }

    #[test]
    fn short_words_are_unsure_and_the_longest_phrase_counts() {
        let rules = RewardRules::english().unwrap();
        for unsure in ["no", "ok", "thanks"] {
            assert!(rules.judge(unsure).unwrap().confidence < 0.7, "{unsure}");
        }
        assert_eq!(rules.phrase("No, that's wrong!").as_deref(), Some("that's wrong"));
        assert_eq!(rules.phrase("Is that wrong?"), None);
        let sure = rules.judge("No, wrong.").unwrap();
        assert!(
            (sure.reward, sure.source) == (-1.0, JudgementSource::Text) && sure.confidence > 0.7
        );
    }

    #[test]
    fn files_that_contradict_themselves_are_refused() {
        let rule = |reward: &str, phrase: &str| {
            format!(
                "[[rule]]\nreward = {reward}\nconfidence = 0.9\nplace = \"start\"\nphrases = [\"{phrase}\"]\n"
            )
        };
        let read = |rules: &str| RewardRules::read(&format!("language = \"xx\"\n{rules}"));
        assert!(read(&rule("-1.0", "nein")).is_ok());
        assert!(read(&(rule("-1.0", "nein") + &rule("1.0", "Nein!"))).is_err());
        assert!(read(&rule("-2.0", "nein")).is_err());
        assert!(read(&rule("-1.0", "...")).is_err());
        assert!(RewardRules::read("language = 3").is_err());
    }
}
