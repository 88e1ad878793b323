//! Choosing tokens for several answers that advance together: two dueling arms, best of n.

use crate::error::Result;
use crate::sample::Draw;

/// One answer of a group whose next tokens are chosen together.
#[derive(Debug)]
pub struct Candidate<'a> {
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

/// Chooses one token per answer of a group in lockstep.
///
/// # Contract
///
/// The choice depends on the candidates, and on earlier ones that were not taken back; randomness comes from their draws.
/// One token per candidate, in order.
pub trait GroupSampler: Send {
    /// The next token of every answer.
    fn choose(&mut self, candidates: &[Candidate]) -> Result<Vec<u32>>;

    /// An answer went back to its first `tokens` tokens.
    fn rewind(&mut self, _index: usize, _tokens: usize) {}

    /// An answer has ended.
    fn end(&mut self, _index: usize) {}
}
