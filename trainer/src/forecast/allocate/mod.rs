//! Tokens spread over chains and models.
//!
//! [`Allocation`] is a state machine without a model: it says what to spend next, is told what came, and says with
//! which chains to answer. Boxes are the continuations of open chains and one new chain per model; the box of highest
//! index is opened while that exceeds the value in hand, the highest m_0 of a chain that could answer (reported of
//! Re-FORC, arXiv 2511.02130; caps, accounting and the cases without a forecast are ours). With one model this chooses
//! length and number of samples; with several, the model, too.
//!
//! The grid has a point at t = 0, so a new chain may also answer without thinking. That box reveals nothing and has the
//! index m_0 less the prefill; without it, any box would beat a value in hand of 0 at the start. The forecast of a new
//! chain is that before the first token, whatever earlier chains of the problem turned out to be: nothing is learnt
//! across chains.

mod boxes;
mod ledger;
mod moves;
mod params;
mod state;
#[cfg(test)]
mod tests;

pub use ledger::{ModelTokens, TokenLedger};
pub use moves::{
    AllocationEnd, AllocationMove, AllocationOutcome, ForcedAnswer, Spend, SpendCause, SpendTarget,
    Spent,
};
pub use params::{AllocateParams, AnswerPick, ModelEntry};
pub use state::Allocation;
