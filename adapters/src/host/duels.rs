//! Duels that wait for a choice, and choices.

use super::feedback::AnswerRef;
use crate::tpop::{DuelOrder, SecondRule};
use serde::{Deserialize, Serialize};

/// What is chosen between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contender {
    /// A sampled answer of this row.
    Sample(usize),
    /// An answer under the setting of this index.
    Setting(usize),
    /// An answer of the lockstep duel: 0 is arm a, 1 is arm b.
    Token(usize),
}

/// What a learner of tastes wants done in a turn.
#[derive(Debug, Clone, PartialEq)]
pub enum TurnPlan {
    /// Answer as if there were no learner.
    Plain,
    /// Sample so many answers, and show what the learner picks of them.
    Samples(usize),
    /// Answer under the setting of this index.
    Setting(usize),
    /// Answer under each of two settings.
    Settings([usize; 2]),
    /// Two answers in lockstep, whose tokens the duel's sampler chooses.
    Tokens,
}

/// One shown answer of a duel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DuelAnswer {
    /// The answer.
    pub answer: AnswerRef,
    /// What it is.
    pub contender: Contender,
    /// `best` for arm a, the rule's name for arm b.
    pub arm: String,
    /// The probability with which the rule chose it.
    pub propensity: f64,
}

/// A duel that is shown, in display order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShownDuel {
    /// Its id, `duel-…`.
    pub id: String,
    /// The adapter.
    pub adapter: String,
    /// The version that chose.
    pub version: u32,
    /// One answer if there was nothing to ask, else two, the left one first.
    pub answers: Vec<DuelAnswer>,
    /// The probability of this display order.
    pub order_propensity: f64,
    /// Seconds since 1970 after which a choice is refused.
    pub expires: i64,
    /// What was chosen, if anything: the word of [`DuelVote`].
    pub chosen: Option<String>,
}

/// What a user says of a duel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DuelVote {
    /// The left answer, shown first.
    Left,
    /// The right answer.
    Right,
    /// Both are equally good.
    Tie,
    /// No answer.
    Skip,
    /// Neither is good.
    BothBad,
}

impl DuelVote {
    /// The word for it, in the state file and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            DuelVote::Left => "0",
            DuelVote::Right => "1",
            DuelVote::Tie => "tie",
            DuelVote::Skip => "skip",
            DuelVote::BothBad => "both_bad",
        }
    }
}

/// How a duel is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DuelRequest {
    /// How arm b is chosen; `None` as the adapter is configured.
    pub second: Option<SecondRule>,
    /// A display order that is fixed, for tests and experiments.
    pub order: Option<DuelOrder>,
}
