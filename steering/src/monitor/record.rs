//! What a guard found and did, for receipts and the audit.

use super::detect::Action;
use super::policy::State;
use sha2::{Digest, Sha256};

/// How a guarded answer came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    /// Nothing was found.
    #[default]
    Clean,
    /// It was rewound and came through.
    Recovered,
    /// A watch ended it.
    Stopped,
    /// Rewinds did not help, and it was refused or cut.
    Exhausted,
    /// Something was found, or could not be told, and it was given all the same.
    Flagged,
}

impl Outcome {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Clean => "clean",
            Outcome::Recovered => "recovered",
            Outcome::Stopped => "stopped",
            Outcome::Exhausted => "exhausted",
            Outcome::Flagged => "flagged",
        }
    }
}

/// One look at an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Which watch, in the guard's order.
    pub watch: usize,
    /// Tokens the answer had.
    pub at: usize,
    /// What the perceiver measured.
    pub score: f64,
    /// How far that is from its threshold.
    pub margin: f64,
    /// The judged state, where there is one.
    pub state: Option<State>,
    /// What it asked for.
    pub action: Action,
    /// Why, in words.
    pub note: Option<String>,
}

/// What became of a rewind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOutcome {
    /// The answer has not come past it yet.
    Open,
    /// The answer came past it cleanly.
    Recovered,
    /// It was rewound again before that.
    Repeated,
    /// It was given up.
    Exhausted,
}

impl RetryOutcome {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            RetryOutcome::Open => "open",
            RetryOutcome::Recovered => "recovered",
            RetryOutcome::Repeated => "repeated",
            RetryOutcome::Exhausted => "exhausted",
        }
    }
}

/// One thing that was done to an answer: a rewind, or its end.
#[derive(Debug, Clone, PartialEq)]
pub struct GuardAction {
    /// Which attempt it began, from 1; 0 of an answer that was ended without one.
    pub attempt: u32,
    /// The watch that asked for it.
    pub watch: usize,
    /// Tokens that stayed.
    pub from: usize,
    /// Tokens the answer had.
    pub at: usize,
    /// What the perceiver measured.
    pub score: f64,
    /// How far that is from its threshold.
    pub margin: f64,
    /// The judged state, where there is one.
    pub state: Option<State>,
    /// What was done: `clean`, `sharpness`, `fixed`, `drawn`, or `refuse`, `stop`, `keep`.
    pub rule: &'static str,
    /// The tokens that were taken back.
    pub span: Vec<u32>,
    /// Their text.
    pub text: String,
    /// Their SHA-256, short.
    pub hash: String,
    /// The guidance that was given: `none`, `text:S:1`, `vector:S:1`.
    pub guidance: String,
    /// Its dose, where it is a push.
    pub beta: Option<f64>,
    /// What the next choice could not be.
    pub ban: Vec<u32>,
    /// What became of it.
    pub sequel: RetryOutcome,
}

/// Everything a guard found and did on one answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// How the answer came out.
    pub outcome: Outcome,
    /// Names of the watches.
    pub watches: Vec<String>,
    /// Every look, in order.
    pub checks: Vec<Check>,
    /// Checks that asked for a rewind.
    pub hits: usize,
    /// What was done, in order.
    pub interventions: Vec<GuardAction>,
    /// The most tokens that were held back at once.
    pub held: usize,
    /// Local maxima of sharpness in reach, and how many of them were above the threshold.
    pub peaks: (usize, usize),
    /// Why it was ended, in words.
    pub why: Option<String>,
}

impl Record {
    /// The rewinds among the interventions.
    pub fn rewinds(&self) -> impl Iterator<Item = &GuardAction> {
        self.interventions.iter().filter(|one| one.attempt > 0)
    }

    /// Tokens taken back in all.
    pub fn discarded(&self) -> usize {
        self.interventions.iter().map(|one| one.span.len()).sum()
    }
}

/// The name of a rejected span: equal spans have equal names.
pub fn span_hash(tokens: &[u32]) -> String {
    let mut digest = Sha256::new();
    tokens.iter().for_each(|token| digest.update(token.to_le_bytes()));
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
