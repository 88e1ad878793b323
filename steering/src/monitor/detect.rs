//! What a perceiver is asked, and what it answers.

use super::policy::State;
use trimtab_runtime::monitor::{AnswerView, Heard, Senses};
use trimtab_runtime::session::Session;

/// What a check asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Go on; the text so far is clean.
    Continue,
    /// Go on and look again soon; the text so far is clean.
    Watch,
    /// The perceiver could not tell: go on, look again soon, the text so far is not clean.
    Unknown,
    /// Take back what went wrong.
    Rollback,
}

/// What a perceiver found in an answer so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What the check asks for.
    pub action: Action,
    /// How strongly it speaks for a rewind, in the perceiver's own unit.
    pub score: f64,
    /// How far the score is from its threshold, above it positive; in the same unit.
    pub margin: f64,
    /// The judged state, where there is one.
    pub state: Option<State>,
    /// The first of the answer's tokens that is wrong, where the perceiver knows.
    pub onset: Option<usize>,
    /// Why it could not tell, or what it found, in words.
    pub note: Option<String>,
}

impl Finding {
    /// A finding of an action and a score alone.
    pub fn new(action: Action, score: f64, margin: f64) -> Finding {
        Finding { action, score, margin, state: None, onset: None, note: None }
    }

    /// The perceiver could not tell.
    pub fn unknown(note: impl Into<String>) -> Finding {
        let note = Some(note.into());
        Finding { note, ..Finding::new(Action::Unknown, f64::NAN, f64::NAN) }
    }
}

/// What a perceiver answers.
#[derive(Debug)]
pub enum Detection {
    /// It has looked.
    Found(Finding),
    /// The model has to read these sequences first; then it is asked the same again.
    Ask(Vec<Session>),
}

/// Looks at an answer when it is asked to.
///
/// # Contract
///
/// After `rewind(n)` it is as it was when the answer had its first `n` tokens. It is asked as rarely as its cadence says, and
/// wherever text could become clean; one that reads activations sees those of the newest pass alone.
pub trait Detector: Send {
    /// Looks at the answer so far.
    fn detect(&mut self, answer: &AnswerView) -> trimtab_runtime::Result<Detection>;

    /// Forgets everything after the answer's first `tokens` tokens.
    fn rewind(&mut self, tokens: usize);

    /// What it reads of each pass.
    fn senses(&self) -> Senses {
        Senses::default()
    }

    /// Takes in what it had the model read, in the order it asked.
    fn heard(&mut self, _read: Vec<Heard>) -> trimtab_runtime::Result<()> {
        Err(trimtab_runtime::Error::Misuse(
            "a perceiver that asks the model must take in what it read",
        ))
    }

    /// How many of the newest tokens it cannot judge yet.
    fn lag(&self) -> usize {
        0
    }

    /// Bytes at the end of a text that may yet turn out to be wrong, so that nothing may be shown of them.
    fn undecided(&self, _text: &str) -> usize {
        0
    }

    /// Tokens it has had the model read so far, its fixed prompt apart.
    fn spent(&self) -> usize {
        0
    }

    /// Gives up the keys and values of the sequences it keeps.
    fn give_way(&mut self) -> trimtab_runtime::Result<()> {
        Ok(())
    }
}
