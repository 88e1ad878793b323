//! Choosing tokens for several rows that advance together: two dueling arms, best of n.

use crate::error::Result;
use crate::sample::Draw;

/// One row of a group whose next tokens are chosen together.
#[derive(Debug)]
pub struct Contender<'a> {
    /// Which generation it is; a group gets smaller when one of it ends.
    pub index: usize,
    /// Its processed logits, `[vocab_size]`.
    pub logits: &'a [f32],
    /// The tokens so far.
    pub tokens: &'a [u32],
    /// The activation at `final`, if the request asks for readings.
    pub reading: Option<&'a [f32]>,
    /// The key of its random draw.
    pub draw: Draw,
}

/// Chooses one token per row of a group in lockstep.
///
/// # Contract
///
/// The choice depends on the contenders alone; randomness comes from their draws. One token per contender, in order.
pub trait Joint: Send {
    /// The next token of every row.
    fn choose(&mut self, rows: &[Contender]) -> Result<Vec<u32>>;
}
