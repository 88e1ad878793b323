//! Schedule: how much of a vector a position gets.
//!
//! A course changes with the number of generated tokens: constant, growing, or dying away. Beside it a vector can rest
//! inside spans of the answer's text: tool calls, code, thoughts and JSON, where a style does harm or the form is strict.
//! Both are told by the positions and tokens of a pass, so no counter can get out of step with a rewind.
//!
//! A span begins with the token that completes its marker: what that token predicts is inside already. The prompt's text
//! never counts, and each new prompt begins with a clean page.

mod spans;

pub use spans::Span;

use crate::error::{Error, Result};
use spans::Scanner;
use std::collections::BTreeSet;
use std::sync::Arc;
use trimtab_runtime::fingerprint::FingerprintBuilder;
use trimtab_runtime::text::Tokenizer;

/// How strength changes along an answer. `g` counts generated tokens from 0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Course {
    /// The same everywhere.
    #[default]
    Constant,
    /// Nothing on the prompt, then `(g + 1) / tokens` up to 1.
    WarmUp {
        /// Generated tokens until it acts in full.
        tokens: usize,
    },
    /// In full on the prompt, then `0.5^(g / half_life)`.
    Decay {
        /// Generated tokens in which it falls to a half.
        half_life: f32,
    },
}

impl Course {
    fn at(self, position: usize, prompt_len: usize) -> f64 {
        match (self, position.checked_sub(prompt_len)) {
            (Course::Constant, _) | (Course::Decay { .. }, None) => 1.0,
            (Course::WarmUp { .. }, None) => 0.0,
            (Course::WarmUp { tokens }, Some(g)) => ((g + 1) as f64 / tokens as f64).min(1.0),
            (Course::Decay { half_life }, Some(g)) => (-(g as f64) / f64::from(half_life)).exp2(),
        }
    }
}

/// A course, and the spans of an answer in which a vector rests.
#[derive(Debug, Clone, Default)]
pub struct Schedule {
    course: Course,
    rests: BTreeSet<Span>,
    tokenizer: Option<Arc<Tokenizer>>,
}

impl Schedule {
    /// A schedule without rests.
    ///
    /// ```
    /// use trimtab_steering::schedule::{Course, Schedule};
    ///
    /// assert!(Schedule::new(Course::WarmUp { tokens: 8 }).is_ok());
    /// let error = Schedule::new(Course::Decay { half_life: 0.0 }).unwrap_err();
    /// assert_eq!(error.to_string(), "half_life is 0, expected a finite number above 0");
    /// ```
    pub fn new(course: Course) -> Result<Schedule> {
        match course {
            Course::WarmUp { tokens: 0 } => {
                Err(Error::setting("warmup", "is 0 tokens, expected at least 1; leave it out"))
            }
            Course::Decay { half_life } if !(half_life.is_finite() && half_life > 0.0) => {
                let problem = format!("is {half_life}, expected a finite number above 0");
                Err(Error::setting("half_life", problem))
            }
            Course::Constant | Course::WarmUp { .. } | Course::Decay { .. } => {
                Ok(Schedule { course, ..Schedule::default() })
            }
        }
    }

    /// The same, resting inside spans of the answer. The tokenizer is the model's.
    pub fn resting_in(
        self,
        spans: impl IntoIterator<Item = Span>,
        tokenizer: Arc<Tokenizer>,
    ) -> Schedule {
        let rests = self.rests.into_iter().chain(spans).collect();
        Schedule { rests, tokenizer: Some(tokenizer), ..self }
    }

    /// How strength changes along an answer.
    pub fn course(&self) -> Course {
        self.course
    }

    /// The spans in which the vector rests.
    pub fn rests(&self) -> impl Iterator<Item = Span> {
        self.rests.iter().copied()
    }

    /// Whether every position gets the same.
    pub fn is_constant(&self) -> bool {
        self.course == Course::Constant && self.rests.is_empty()
    }

    pub(crate) fn digest(&self, digest: FingerprintBuilder) -> FingerprintBuilder {
        let digest = match self.course {
            Course::Constant => digest.text("constant"),
            Course::WarmUp { tokens } => digest.text("warmup").number(tokens as u64),
            Course::Decay { half_life } => digest.text("decay").floats(&[half_life]),
        };
        let digest = self.rests.iter().fold(digest, |digest, span| digest.text(span.name()));
        // Without rests no text is read, whatever the tokenizer.
        let tokenizer = self.tokenizer.as_ref().filter(|_| !self.rests.is_empty());
        digest.text(tokenizer.map_or("", |tokenizer| tokenizer.sha256()))
    }

    /// The bytes a token shows, control tokens as the vocabulary spells them.
    fn bytes(&self, token: u32) -> &[u8] {
        let shown = self.tokenizer.as_ref().and_then(|tokenizer| {
            if tokenizer.is_control(token) {
                tokenizer.token_text(token).map(str::as_bytes)
            } else {
                tokenizer.token_bytes(token)
            }
        });
        shown.unwrap_or_default()
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Schedule) -> bool {
        let sha256 = |s: &Schedule| s.tokenizer.as_ref().map(|t| t.sha256().to_owned());
        self.course == other.course && self.rests == other.rests && sha256(self) == sha256(other)
    }
}

impl std::str::FromStr for Span {
    type Err = Error;

    /// Reads `tool_call`, `code`, `think` and `json`.
    fn from_str(name: &str) -> Result<Span> {
        let all = [Span::ToolCall, Span::Code, Span::Think, Span::Json];
        all.into_iter().find(|span| span.name() == name).ok_or_else(|| {
            let problem = format!("has {name:?}, expected tool_call, code, think or json");
            Error::setting("pause_in", problem)
        })
    }
}

/// Where in its schedule a sequence is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tracker {
    /// The prompt whose answer is followed.
    prompt_len: usize,
    scanners: Vec<Scanner>,
}

impl Tracker {
    /// What a position gets, 0 to 1. Positions come in order.
    pub(crate) fn step(
        &mut self,
        schedule: &Schedule,
        (position, token): (usize, u32),
        prompt_len: usize,
    ) -> f64 {
        let share = schedule.course.at(position, prompt_len);
        if position < prompt_len || schedule.rests.is_empty() {
            return share;
        }
        if self.prompt_len != prompt_len || self.scanners.is_empty() {
            self.prompt_len = prompt_len;
            self.scanners = schedule.rests.iter().copied().map(Scanner::new).collect();
        }
        let bytes = schedule.bytes(token);
        self.scanners.iter_mut().for_each(|scanner| scanner.push(bytes));
        if self.scanners.iter().any(Scanner::is_inside) { 0.0 } else { share }
    }
}
