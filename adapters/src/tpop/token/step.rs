//! A step of a duel, and what moves its logits.

use super::tilt::{DuelRow, TiltedRow, TokenArm, TokenTaste};
use crate::tpop::params::TokenScore;
use std::sync::Arc;
use trimtab_runtime::Result;

/// One arm at a step.
#[derive(Debug, Clone, Copy)]
pub struct DuelStep<'a> {
    /// The arm.
    pub arm: TokenArm,
    /// Its logits, `[vocab_size]`.
    pub logits: &'a [f32],
    /// Every token so far, prompt and guidance included.
    pub context: &'a [u32],
    /// Positions of the context that the arm has written, in order.
    pub positions: &'a [usize],
}

impl<'a> DuelStep<'a> {
    /// The arm and its logits.
    pub fn row(&self) -> DuelRow<'a> {
        DuelRow { arm: self.arm, logits: self.logits }
    }
}

/// What a taste adds to the logits of a duel's rows.
pub trait TokenTilt: Send {
    /// Whether it leaves every distribution as it is.
    fn is_plain(&self) -> bool;

    /// How it enters the logits.
    fn score(&self) -> TokenScore;

    /// What is added to each row of a step; `of_a` are the tokens that arm a has written, which may have ended.
    // rows of [vocab_size], [n] -> candidates of each row
    fn tilt(&mut self, rows: &[DuelStep<'_>], of_a: &[u32]) -> Result<Vec<TiltedRow>>;
}

impl TokenTilt for Arc<TokenTaste> {
    fn is_plain(&self) -> bool {
        TokenTaste::is_plain(self)
    }

    fn score(&self) -> TokenScore {
        TokenTaste::score(self)
    }

    // rows of [vocab_size], [n] -> candidates of each row
    fn tilt(&mut self, rows: &[DuelStep<'_>], of_a: &[u32]) -> Result<Vec<TiltedRow>> {
        let rows: Vec<DuelRow<'_>> = rows.iter().map(DuelStep::row).collect();
        Ok(TokenTaste::tilt(self, &rows, &self.features().of_answer(of_a)))
    }
}
