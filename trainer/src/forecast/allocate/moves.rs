//! What an allocation asks for, and what it is told.

use super::ledger::TokenLedger;
use crate::forecast::beta_binomial::BetaParams;
use crate::forecast::chain::ChainEnd;

/// The next thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum AllocationMove {
    /// Generate tokens, then report them with [`Allocation::spent`](super::Allocation::spent).
    Spend(Spend),
    /// Force the answers of these chains, then report them with
    /// [`Allocation::answered`](super::Allocation::answered).
    Force(Vec<usize>),
    /// Nothing: this is the answer.
    Done(AllocationOutcome),
}

/// Tokens to generate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spend {
    /// The chain.
    pub target: SpendTarget,
    /// How many; of 0 a new chain is only prefilled.
    pub tokens: u32,
    /// Why.
    pub cause: SpendCause,
}

/// A chain to continue or to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpendTarget {
    /// The open chain of this number; chains are counted from 0 in the order they were opened.
    Chain(usize),
    /// A new chain of the model of this number.
    NewChain(usize),
}

/// Why tokens are spent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SpendCause {
    /// The box has this index, above the value in hand.
    Index(f64),
    /// The chain's forecast is missing, and it is shorter than the default length.
    MissingForecast,
    /// The chain's answer was not understood: the next grid point is tried once.
    UnparsedAnswer,
    /// No box pays, but there must be an answer.
    NothingPays,
}

/// What came of tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Spent {
    /// Generated tokens: those asked for, or fewer if the chain finished.
    pub generated: u32,
    /// Whether it can go on. A finished chain has no boxes any more.
    pub end: ChainEnd,
    /// Its calibrated forecast now, `[points]`; `None` if missing. A distribution that is none counts as missing.
    pub forecast: Option<Vec<BetaParams>>,
}

/// An answer that was forced, or that a finished chain has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForcedAnswer {
    /// The chain.
    pub chain: usize,
    /// Tokens it took; 0 of a finished chain.
    pub tokens: u32,
    /// The answer in its canonical form: equal answers are equal strings. `None` if it was not understood.
    pub answer: Option<String>,
}

/// Why an allocation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllocationEnd {
    /// No box has an index above the value in hand.
    NoBoxPays,
    /// One has, but its tokens do not fit under the hard cap.
    HardCap,
    /// One has, but it is a new chain beyond `max_chains`.
    ChainCap,
}

/// The answer and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct AllocationOutcome {
    /// The chain that answers; of a vote the one of highest m_0 among those that agree.
    pub chain: usize,
    /// The answer; `None` if it was not understood, and the chain's raw text is to be returned.
    pub answer: Option<String>,
    /// Why it ended.
    pub end: AllocationEnd,
    /// What it cost.
    pub ledger: TokenLedger,
    /// How many forecasts were missing; if any, the answer is to be flagged.
    pub missing_forecasts: usize,
}
