//! Both arms of a duel as the sampler of a group: answer 0 is arm a, answer 1 is arm b.
//!
//! The arms are forced apart once, at their first step: arm b may not begin with arm a's first token. Later they may
//! write the same, since what differs before is in their context. An arm that went back to its start begins anew, and
//! guidance that is put before it is not part of it. Where arm a's first token is all that arm b may write, both write
//! it. The released code forces the arms apart at every step.

use super::step::{DuelStep, TokenTilt};
use super::tilt::{TiltedRow, TokenArm, TokenTaste};
use crate::tpop::params::TokenScore;
use std::collections::BTreeMap;
use std::sync::Arc;
use trimtab_runtime::Result;
use trimtab_runtime::group_sampling::{Candidate, GroupSampler};
use trimtab_runtime::sample::{Draw, Sampling};

/// The tokens of an answer, without those that were taken back and without guidance, which is in its context, too.
#[derive(Debug, Clone, Default)]
struct Own {
    tokens: Vec<u32>,
    /// Where in the context each of them is.
    positions: Vec<usize>,
    /// The last choice, before it is known what became of it.
    chosen: Option<u32>,
    /// The length of the context that it was made in.
    seen: usize,
}

impl Own {
    /// Takes in what the context has since the last choice: the token itself, and those that a monitor put behind it.
    /// After a way back all that is new is guidance.
    // [n]
    fn follow(&mut self, context: &[u32]) {
        if self.chosen.take().is_some() {
            self.tokens.extend_from_slice(context.get(self.seen..).unwrap_or_default());
            self.positions.extend(self.seen..context.len());
        }
        self.seen = context.len();
    }

    fn rewind(&mut self, tokens: usize) {
        if let Some(token) = self.chosen.take() {
            self.tokens.push(token);
            self.positions.push(self.seen);
        }
        self.tokens.truncate(tokens);
        self.positions.truncate(tokens);
    }
}

/// Chooses the tokens of two answers under one taste.
#[derive(Debug, Clone)]
pub struct TokenDuel<T = Arc<TokenTaste>> {
    taste: T,
    sampling: Sampling,
    /// What each answer has written.
    own: BTreeMap<usize, Own>,
    first_of_a: Option<u32>,
    forced: usize,
    kl: [f64; 2],
}

impl<T: TokenTilt> TokenDuel<T> {
    /// A duel of two answers to one prompt that have no token yet.
    pub fn new(taste: T, sampling: Sampling) -> TokenDuel<T> {
        TokenDuel {
            taste,
            sampling,
            own: BTreeMap::new(),
            first_of_a: None,
            forced: 0,
            kl: [0.0; 2],
        }
    }

    /// What moves its logits.
    pub fn taste(&self) -> &T {
        &self.taste
    }

    /// At how many steps arm a's token was forbidden to arm b.
    pub fn forced(&self) -> usize {
        self.forced
    }

    /// KL spent on each arm so far, in nats, steps that were taken back included.
    pub fn kl(&self) -> [f64; 2] {
        self.kl
    }

    /// A token of a row under its tilt, one token being forbidden.
    // [vocab_size] -> []
    fn token(
        &self,
        row: &Candidate<'_>,
        tilted: &TiltedRow,
        forbidden: Option<u32>,
    ) -> Result<u32> {
        let mut logits = row.logits.to_vec();
        if !self.taste.is_plain() && self.taste.score() == TokenScore::Tilt {
            for (id, bias) in &tilted.scores {
                logits.iter_mut().skip(*id as usize).take(1).for_each(|l| *l += *bias as f32);
            }
        }
        if let Some(id) = forbidden {
            logits.iter_mut().skip(id as usize).take(1).for_each(|l| *l = f32::NEG_INFINITY);
        }
        match self.taste.score() {
            TokenScore::Prob if !self.taste.is_plain() => {
                // A candidate of the other row may be forbidden in this one.
                let allowed = tilted.scores.iter().filter(|(id, _)| is_allowed(&logits, *id));
                let best = allowed.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
                best.map_or_else(|| self.draw(&logits, &row.draw), |(id, _)| Ok(*id))
            }
            TokenScore::Prob | TokenScore::Tilt => self.draw(&logits, &row.draw),
        }
    }

    fn draw(&self, logits: &[f32], draw: &Draw) -> Result<u32> {
        self.sampling.choose(logits, draw)
    }
}

fn is_allowed(logits: &[f32], id: u32) -> bool {
    logits.get(id as usize).is_some_and(|logit| logit.is_finite())
}

/// Whether a row may be written without this token.
// [vocab_size] -> []
fn has_another(logits: &[f32], id: u32) -> bool {
    let mut others = logits.iter().enumerate().filter(|(at, _)| *at != id as usize);
    others.any(|(_, logit)| logit.is_finite())
}

fn arm(index: usize) -> TokenArm {
    if index == 0 { TokenArm::A } else { TokenArm::B }
}

impl<T: TokenTilt> GroupSampler for TokenDuel<T> {
    // rows of [vocab_size] -> one token each
    fn choose(&mut self, candidates: &[Candidate]) -> Result<Vec<u32>> {
        for row in candidates {
            self.own.entry(row.index).or_default().follow(row.context.tokens);
        }
        let TokenDuel { taste, own, .. } = self;
        let of_a = own.get(&0).map(|own| own.tokens.as_slice()).unwrap_or_default();
        let steps = candidates.iter().map(|row| DuelStep {
            arm: arm(row.index),
            logits: row.logits,
            context: row.context.tokens,
            positions: own.get(&row.index).map(|own| own.positions.as_slice()).unwrap_or_default(),
        });
        let tilted = taste.tilt(&steps.collect::<Vec<_>>(), of_a)?;
        let mut tokens = Vec::with_capacity(candidates.len());
        for (row, tilted) in candidates.iter().zip(&tilted) {
            let is_first = self.own.get(&row.index).is_none_or(|own| own.tokens.is_empty());
            let is_forced = |id: &u32| is_first && row.index != 0 && has_another(row.logits, *id);
            let forbidden = self.first_of_a.filter(is_forced);
            self.forced += usize::from(forbidden.is_some());
            let token = self.token(row, tilted, forbidden)?;
            if is_first && row.index == 0 {
                self.first_of_a = Some(token);
            }
            self.kl.iter_mut().skip(row.index).take(1).for_each(|kl| *kl += tilted.kl);
            self.own.entry(row.index).or_default().chosen = Some(token);
            tokens.push(token);
        }
        Ok(tokens)
    }

    fn rewind(&mut self, index: usize, tokens: usize) {
        if let Some(own) = self.own.get_mut(&index) {
            own.rewind(tokens);
        }
        if index == 0 && tokens == 0 {
            self.first_of_a = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guidance_and_what_was_taken_back_are_not_part_of_an_answer() {
        let mut own = Own::default();
        let step = |own: &mut Own, context: &[u32], chosen: u32| {
            own.follow(context);
            own.chosen = Some(chosen);
            own.tokens.clone()
        };
        assert_eq!(step(&mut own, &[1, 2], 7), [0u32; 0]);
        assert_eq!(step(&mut own, &[1, 2, 7], 8), [7]);
        // A monitor appended 50 and 51.
        assert_eq!(step(&mut own, &[1, 2, 7, 8, 50, 51], 9), [7, 8, 50, 51]);
        own.rewind(3);
        assert_eq!(step(&mut own, &[1, 2, 7, 8, 50, 40, 41], 9), [7, 8, 50]);
        // All is kept, the last choice included.
        own.rewind(4);
        assert_eq!(step(&mut own, &[1, 2, 7, 8, 50, 40, 41, 9, 42], 3), [7, 8, 50, 9]);
        own.rewind(0);
        assert_eq!(step(&mut own, &[1, 2, 43], 3), [0u32; 0]);
        assert_eq!(step(&mut own, &[1, 2, 43, 3], 4), [3]);
    }
}
