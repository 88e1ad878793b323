//! What was said about an answer, as a number with a confidence and the tokens it is about.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Smallest |reward| that teaches.
pub const LEAST_REWARD: f64 = 0.25;

/// Where a judgement comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JudgementSource {
    /// A number that a program gave.
    Value,
    /// A thumb, up or down.
    Thumb,
    /// What the user typed next, by a table of phrases.
    Text,
    /// The user rewrote the answer.
    Edit,
    /// Another model scored it.
    Model,
}

/// A judgement of one answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// From −1, wrong, to 1, right.
    pub reward: f64,
    /// From 0 to 1.
    pub confidence: f64,
    /// The tokens of the answer that it is about, if it names any.
    pub span: Option<Vec<Range<usize>>>,
    /// Where it comes from.
    pub source: JudgementSource,
}

impl Judgement {
    /// A number with full confidence, about the whole answer.
    pub fn value(reward: f64) -> Judgement {
        let source = JudgementSource::Value;
        Judgement { reward, confidence: 1.0, span: None, source }
    }

    /// A thumb up.
    pub fn up() -> Judgement {
        Judgement { source: JudgementSource::Thumb, ..Judgement::value(1.0) }
    }

    /// A thumb down.
    pub fn down() -> Judgement {
        Judgement { source: JudgementSource::Thumb, ..Judgement::value(-1.0) }
    }

    /// The same, about some tokens of the answer.
    pub fn about(self, span: impl IntoIterator<Item = Range<usize>>) -> Judgement {
        Judgement { span: Some(span.into_iter().collect()), ..self }
    }

    /// Whether it is a judgement of an answer of so many tokens.
    ///
    /// # Errors
    ///
    /// A reward outside [−1, 1], a confidence outside [0, 1], a span that is empty or leaves the answer.
    pub fn check(&self, tokens: usize) -> Result<()> {
        if !(-1.0..=1.0).contains(&self.reward) {
            let problem = format!("is {}, not between -1 and 1", self.reward);
            return Err(Error::invalid("reward", problem));
        }
        if !(0.0..=1.0).contains(&self.confidence) {
            let problem = format!("is {}, not between 0 and 1", self.confidence);
            return Err(Error::invalid("confidence", problem));
        }
        let bad = |range: &&Range<usize>| range.is_empty() || range.end > tokens;
        match self.span.iter().flatten().find(bad) {
            Some(range) => {
                let Range { start, end } = range;
                let problem = format!("{start}..{end} is not in an answer of {tokens} tokens");
                Err(Error::invalid("span", problem))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_judgement_is_an_input_error() {
        assert!(Judgement::up().check(3).is_ok());
        for reward in [f64::NAN, f64::INFINITY, 1.01, -2.0] {
            assert!(Judgement::value(reward).check(3).is_err(), "{reward}");
        }
        let unsure = Judgement { confidence: f64::NAN, ..Judgement::up() };
        assert!(unsure.check(3).is_err());
        assert!(Judgement::down().about([0..2, 2..3]).check(3).is_ok());
        for span in [0..4, 2..2, 3..5] {
            assert!(Judgement::down().about(Some(span)).check(3).is_err());
        }
    }
}
