//! Watching an answer as it unfolds.
//!
//! A [`Monitor`] reads and says what should happen; it never touches the session. The token loop acts on the
//! [`Verdict`]: it holds text back, stops, inserts, or rewinds and tries again under another plan.

use crate::error::{Error, Result};
use crate::hook::Readings;
use crate::plan::Plan;
use crate::sample::Step;
use crate::session::{History, Session};
use crate::site::Site;
use std::collections::BTreeMap;

/// Whether more tokens may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The answer goes on.
    Unfolding,
    /// The model has ended it or the limit is reached: the last time the monitor is asked.
    Ended,
}

/// What a monitor reads of each pass besides the token it led to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Senses {
    /// Sites whose activation at the newest position is read. On a device each is one more copy to the host.
    pub sites: Vec<Site>,
    /// Blocks whose attention weights at the newest position are read. They are computed once more for it.
    pub attention: Vec<usize>,
}

/// What was read in the pass that led to a token: at the position before it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sensed {
    /// `[d_model]` by site, as the plan leaves it.
    pub activations: BTreeMap<Site, Vec<f32>>,
    /// `[heads][positions]` by block.
    pub attention: BTreeMap<usize, Vec<Vec<f32>>>,
    /// What the plan's hooks report behind that pass.
    pub readings: Readings,
}

/// An answer so far, as a monitor sees it.
#[derive(Debug, Clone, Copy)]
pub struct AnswerView<'a> {
    /// The answer's tokens, without hidden guidance and without the end token.
    pub tokens: &'a [u32],
    /// Its text, held-back text included. Complete characters only.
    pub text: &'a str,
    /// After each token, how many bytes of the text were complete.
    pub ends: &'a [usize],
    /// Each token's position in the sequence, prompt and hidden guidance counted.
    pub places: &'a [usize],
    /// How the newest sampled token was chosen.
    pub step: Option<&'a Step>,
    /// What its pass showed, as far as some monitor of this answer asked for it; nothing after inserted tokens.
    pub sensed: Option<&'a Sensed>,
    /// Whether it goes on.
    pub stage: Stage,
    /// How often it was rewound.
    pub attempt: u32,
    /// How many tokens more the context and the pool hold.
    pub room: usize,
}

impl<'a> AnswerView<'a> {
    /// An answer of these tokens and this text that has ended, for tests of a monitor and for judging a text from
    /// elsewhere. What else a monitor may see is set on the fields.
    pub fn ended(tokens: &'a [u32], text: &'a str) -> AnswerView<'a> {
        AnswerView {
            tokens,
            text,
            ends: &[],
            places: &[],
            step: None,
            sensed: None,
            stage: Stage::Ended,
            attempt: 0,
            room: 0,
        }
    }
}

/// A sequence that the model has read for a monitor.
#[derive(Debug)]
pub struct Heard {
    /// The sequence; nothing is pending any more.
    pub session: Session,
    /// Logits behind its last token, `[vocab_size]`.
    pub logits: Vec<f32>,
}

/// What should happen next.
#[derive(Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// Go on.
    Continue {
        /// How many bytes of the text may be shown.
        release: usize,
        /// After how many more tokens to ask again, at least 1.
        ask_after: usize,
    },
    /// End the answer here.
    Stop {
        /// How many bytes of the text belong to it.
        keep: usize,
        /// Why, for the receipt.
        reason: StopReason,
    },
    /// Rewind and generate again.
    Retry {
        /// How many of the answer's tokens stay.
        from: usize,
        /// Another plan, with what becomes of the keys and values before; `None` keeps the plan.
        plan: Option<(Plan, History)>,
        /// Tokens that are fed and never shown.
        guidance: Vec<u32>,
        /// Tokens that the next choice may not be.
        ban: Vec<u32>,
    },
    /// Append these tokens to the answer, shown.
    Insert(Vec<u32>),
    /// Have the model read these sequences' pending tokens, beside the rows of other answers, then ask again. The answer
    /// waits; what was read comes to [`Monitor::heard`] first.
    Ask(Vec<Session>),
}

impl Verdict {
    /// Rewind to the first `from` tokens and generate again as before.
    pub fn retry(from: usize) -> Verdict {
        Verdict::Retry { from, plan: None, guidance: Vec::new(), ban: Vec::new() }
    }
}

/// Why a monitor ended an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// This stop string appeared.
    StopString(String),
    /// Anything else, in words.
    Other(String),
    /// The answer is not to be given; something else is said behind what is kept of it.
    Refused {
        /// Why, for the receipt.
        why: String,
        /// What is said, as a paragraph of its own. It is text, not tokens of the answer.
        reply: String,
    },
}

/// Watches one unfolding answer.
///
/// # Contract
///
/// A verdict depends on what was watched since the last rewind alone: after `rewind(n)` the monitor is as it was when
/// the answer had its first `n` tokens.
///
/// ```
/// use trimtab_runtime::monitor::{Monitor, Stage, StopStrings, AnswerView, Verdict};
///
/// let mut stops = StopStrings::new(["END"]).unwrap();
/// let seen = |text| AnswerView { stage: Stage::Unfolding, ..AnswerView::ended(&[], text) };
/// // "EN" could become "END", so it is held back.
/// assert!(matches!(stops.watch(&seen("so EN")).unwrap(), Verdict::Continue { release: 3, .. }));
/// assert!(matches!(stops.watch(&seen("so END it")).unwrap(), Verdict::Stop { keep: 3, .. }));
/// ```
pub trait Monitor: Send {
    /// Reads the answer so far.
    fn watch(&mut self, answer: &AnswerView) -> Result<Verdict>;

    /// Forgets everything after the answer's first `tokens` tokens.
    fn rewind(&mut self, tokens: usize);

    /// What it reads of each pass. Asked once, before the first.
    fn senses(&self) -> Senses {
        Senses::default()
    }

    /// Takes in what it had the model read, in the order it asked.
    fn heard(&mut self, _read: Vec<Heard>) -> Result<()> {
        Err(Error::Misuse("a monitor that asks the model must take in what it read"))
    }

    /// Gives up the keys and values of the sequences it keeps, to be made again when they are needed.
    fn give_way(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Ends an answer where a given text appears; the text itself is not part of the answer.
#[derive(Debug, Clone)]
pub struct StopStrings {
    stops: Vec<String>,
}

impl StopStrings {
    /// Empty texts are refused: they would stop everything.
    pub fn new<S: Into<String>>(stops: impl IntoIterator<Item = S>) -> Result<Self> {
        let stops: Vec<String> = stops.into_iter().map(Into::into).collect();
        if stops.iter().any(String::is_empty) {
            return Err(crate::error::Error::Invalid {
                field: "stop",
                problem: "holds an empty text".to_owned(),
            });
        }
        Ok(StopStrings { stops })
    }

    /// The earliest stop string and where it begins.
    fn found(&self, text: &str) -> Option<(usize, &str)> {
        let hits =
            self.stops.iter().filter_map(|s| text.find(s.as_str()).map(|at| (at, s.as_str())));
        hits.min_by_key(|(at, s)| (*at, std::cmp::Reverse(s.len())))
    }

    /// How much of the text cannot become the beginning of a stop string.
    fn safe(&self, text: &str) -> usize {
        let longest_start = |stop: &String| {
            let starts = stop.char_indices().map(|(i, _)| i).skip(1);
            starts.filter(|i| text.ends_with(&stop[..*i])).max().unwrap_or(0)
        };
        text.len() - self.stops.iter().map(longest_start).max().unwrap_or(0)
    }
}

impl Monitor for StopStrings {
    fn watch(&mut self, answer: &AnswerView) -> Result<Verdict> {
        if let Some((keep, stop)) = self.found(answer.text) {
            return Ok(Verdict::Stop { keep, reason: StopReason::StopString(stop.to_owned()) });
        }
        let release = match answer.stage {
            Stage::Unfolding => self.safe(answer.text),
            Stage::Ended => answer.text.len(),
        };
        Ok(Verdict::Continue { release, ask_after: 1 })
    }

    // Every verdict is read off the whole text: there is nothing to forget.
    fn rewind(&mut self, _tokens: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_stop_wins_and_the_longest_of_equals() {
        let stops = StopStrings::new(["b", "abc", "ab"]).unwrap();
        assert_eq!(stops.found("xxabc"), Some((2, "abc")));
        assert_eq!(stops.found("xba"), Some((1, "b")));
        assert!(StopStrings::new([""]).is_err());
    }

    #[test]
    fn text_that_could_become_a_stop_is_held_back() {
        let stops = StopStrings::new(["\n\nUser:", "ééd"]).unwrap();
        assert_eq!(stops.safe("hello\n"), 5);
        assert_eq!(stops.safe("hello\n\nUs"), 5);
        assert_eq!(stops.safe("café"), "caf".len());
        assert_eq!(stops.safe("hello"), 5);
    }
}
