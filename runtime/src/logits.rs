//! Edits one row's logits before sampling.
//!
//! Processors are pure functions of the tokens so far, so a rewind has nothing in them to restore. They run in the
//! order they were given, before temperature and truncation.

use crate::error::{Error, Result};
use crate::kernels::logits::Reference;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

/// The sequence whose next token is about to be chosen.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Every token so far.
    pub tokens: &'a [u32],
    /// Positions below this are the prompt.
    pub prompt_len: usize,
}

impl<'a> Context<'a> {
    /// The generated tokens.
    pub fn generated(&self) -> &'a [u32] {
        self.tokens.get(self.prompt_len..).unwrap_or_default()
    }
}

/// Edits logits in place.
///
/// # Contract
///
/// The result depends on the arguments alone. A processor never removes every token.
///
/// ```
/// use trimtab_runtime::logits::{Bias, Context, LogitsProcessor};
///
/// let ban = Bias::new([(1, f32::NEG_INFINITY)]).unwrap();
/// let mut logits = [0.0, 5.0, 1.0];
/// ban.process(&Context { tokens: &[], prompt_len: 0 }, &mut logits).unwrap();
/// assert_eq!(logits, [0.0, f32::NEG_INFINITY, 1.0]);
/// ```
pub trait LogitsProcessor: Debug + Send + Sync {
    /// Edits the logits of the next token, `[vocab_size]`.
    fn process(&self, context: &Context, logits: &mut [f32]) -> Result<()>;
}

/// Penalties on tokens that were used before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Penalties {
    /// Divides positive logits and multiplies negative ones of every token of prompt and answer
    /// (CTRL, arXiv 1909.05858); 1 is none.
    pub repeat: f32,
    /// Subtracted once from every token of the answer; 0 is none.
    pub presence: f32,
    /// Subtracted from every token of the answer as often as it occurs; 0 is none.
    pub frequency: f32,
}

impl Default for Penalties {
    fn default() -> Self {
        Penalties { repeat: 1.0, presence: 0.0, frequency: 0.0 }
    }
}

impl Penalties {
    /// Refuses values that make no sense.
    pub fn check(self) -> Result<Self> {
        if !(self.repeat.is_finite() && self.repeat > 0.0) {
            return Err(outside("repeat_penalty", self.repeat, "a number above 0"));
        }
        for (field, value) in
            [("presence_penalty", self.presence), ("frequency_penalty", self.frequency)]
        {
            if !(-2.0..=2.0).contains(&value) {
                return Err(outside(field, value, "between -2 and 2"));
            }
        }
        Ok(self)
    }

    /// Whether it changes nothing.
    pub fn is_none(&self) -> bool {
        *self == Penalties::default()
    }
}

impl Penalties {
    fn weaken(&self, logits: &mut [f32], token: u32) {
        if let Some(l) = logits.get_mut(token as usize) {
            let factor = if *l > 0.0 { 1.0 / self.repeat } else { self.repeat };
            *l *= factor;
        }
    }
}

fn outside(field: &'static str, value: f32, range: &str) -> Error {
    Error::Invalid { field, problem: format!("is {value}, not {range}") }
}

impl LogitsProcessor for Penalties {
    fn process(&self, context: &Context, logits: &mut [f32]) -> Result<()> {
        if self.repeat != 1.0 {
            for (token, _) in counts(context.tokens) {
                self.weaken(logits, token);
            }
        }
        if self.presence == 0.0 && self.frequency == 0.0 {
            return Ok(());
        }
        for (token, count) in counts(context.generated()) {
            if let Some(l) = logits.get_mut(token as usize) {
                *l -= self.presence + self.frequency * count as f32;
            }
        }
        Ok(())
    }
}

fn counts(tokens: &[u32]) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for token in tokens {
        *counts.entry(*token).or_insert(0) += 1;
    }
    counts
}

/// Adds a number to some tokens' logits; −∞ bans a token.
#[derive(Debug, Clone, PartialEq)]
pub struct Bias {
    tokens: Vec<(u32, f32)>,
}

impl Bias {
    /// NaN and +∞ are refused.
    pub fn new(tokens: impl IntoIterator<Item = (u32, f32)>) -> Result<Self> {
        let tokens: Vec<(u32, f32)> = tokens.into_iter().collect();
        match tokens.iter().find(|(_, b)| b.is_nan() || *b == f32::INFINITY) {
            None => Ok(Bias { tokens }),
            Some((token, bias)) => Err(Error::Invalid {
                field: "logit_bias",
                problem: format!("of token {token} is {bias}"),
            }),
        }
    }
}

impl LogitsProcessor for Bias {
    fn process(&self, _: &Context, logits: &mut [f32]) -> Result<()> {
        for (token, bias) in &self.tokens {
            let vocab_size = logits.len();
            let Some(l) = logits.get_mut(*token as usize) else {
                return Err(Error::NoSuchToken { token: *token, vocab_size });
            };
            *l += bias;
        }
        Ok(())
    }
}

/// KL(a‖b) and KL(b‖a) of two rows of logits of the same tokens, nats; exactly 0 for equal rows. Exponentials are f32, sums
/// f64.
// a [vocab_size], b [vocab_size] -> [], []
pub fn divergences(a: &[f32], b: &[f32]) -> [f64; 2] {
    [Reference::of(a).contrast(b).kl, Reference::of(b).contrast(a).kl]
}

/// Adds a whole vector of the vocabulary's size, shared between rows: an offset δ at `final` is the bias W·δ.
#[derive(Debug, Clone)]
pub struct SharedBias(pub Arc<[f32]>);

impl LogitsProcessor for SharedBias {
    fn process(&self, _: &Context, logits: &mut [f32]) -> Result<()> {
        if self.0.len() != logits.len() {
            return Err(Error::Invalid {
                field: "bias",
                problem: format!("has {} values for {} tokens", self.0.len(), logits.len()),
            });
        }
        logits.iter_mut().zip(self.0.iter()).for_each(|(l, b)| *l += b);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn penalties_count_what_they_should() {
        let context = Context { tokens: &[0, 1, 1, 2, 2], prompt_len: 1 };
        let mut logits = [2.0, 2.0, -2.0, 2.0];
        let all = Penalties { repeat: 2.0, presence: 0.5, frequency: 0.25 };
        all.process(&context, &mut logits).unwrap();
        // Token 0 is prompt only: repeated, but neither present nor frequent in the answer.
        assert_eq!(logits, [1.0, 1.0 - 1.0, -4.0 - 1.0, 2.0]);
    }

    #[test]
    fn senseless_values_are_refused() {
        for repeat in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(Penalties { repeat, ..Penalties::default() }.check().is_err());
        }
        assert!(Penalties { presence: 2.5, ..Penalties::default() }.check().is_err());
        assert!(Bias::new([(3, f32::NAN)]).is_err());
        let outside = Bias::new([(9, 1.0)]).unwrap();
        assert!(outside.process(&Context { tokens: &[], prompt_len: 0 }, &mut [0.0; 4]).is_err());
    }
}
