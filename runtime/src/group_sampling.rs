//! Choosing tokens for several answers that advance together: two dueling arms, best of n.

use crate::error::Result;
use crate::logits::Context;
use crate::sample::{Draw, Sampling};
use std::sync::{Arc, Mutex, PoisonError};

/// One answer of a group whose next tokens are chosen together.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// Which answer of the group it is; answers that have ended are left out.
    pub index: usize,
    /// Its processed logits, `[vocab_size]`.
    pub logits: &'a [f32],
    /// The tokens so far.
    pub context: Context<'a>,
    /// The activation at `final`, if the request asks for readings.
    pub reading: Option<&'a [f32]>,
    /// How the request asks for tokens to be chosen.
    pub sampling: &'a Sampling,
    /// The key of its random draw.
    pub draw: Draw,
}

impl Candidate<'_> {
    /// The token that it would get alone.
    pub fn own_choice(&self) -> Result<u32> {
        self.sampling.choose(self.logits, &self.draw)
    }
}

/// Chooses one token per answer of a group in lockstep.
///
/// # Contract
///
/// The choice depends on the candidates, and on earlier ones that were not taken back; randomness comes from their draws.
/// One token per candidate, in order. Before each choice the sampler is told what has happened since the last one, in the
/// order of the answers, so that nothing depends on what runs beside the group. An error or a panic ends the answers of the
/// group, and no others.
pub trait GroupSampler: Send {
    /// The next token of every answer.
    fn choose(&mut self, candidates: &[Candidate]) -> Result<Vec<u32>>;

    /// An answer went back to its first `tokens` tokens. Those that monitors inserted count, hidden guidance does not, so it may
    /// be more than this sampler chose.
    fn rewind(&mut self, _index: usize, _tokens: usize) {}

    /// An answer has ended: by itself, cancelled, or with an error of its own; also one that never ran. Not after an error of
    /// the sampler itself.
    fn end(&mut self, _index: usize) {}
}

/// A sampler that can be read back while a group has it, and afterwards.
impl<S: GroupSampler> GroupSampler for Arc<Mutex<S>> {
    fn choose(&mut self, candidates: &[Candidate]) -> Result<Vec<u32>> {
        self.lock().unwrap_or_else(PoisonError::into_inner).choose(candidates)
    }

    fn rewind(&mut self, index: usize, tokens: usize) {
        self.lock().unwrap_or_else(PoisonError::into_inner).rewind(index, tokens);
    }

    fn end(&mut self, index: usize) {
        self.lock().unwrap_or_else(PoisonError::into_inner).end(index);
    }
}

impl<S: GroupSampler + ?Sized> GroupSampler for &mut S {
    fn choose(&mut self, candidates: &[Candidate]) -> Result<Vec<u32>> {
        (**self).choose(candidates)
    }

    fn rewind(&mut self, index: usize, tokens: usize) {
        (**self).rewind(index, tokens);
    }

    fn end(&mut self, index: usize) {
        (**self).end(index);
    }
}
