//! Both arms of a duel as the sampler of a group: answer 0 is arm a, answer 1 is arm b.
//!
//! The arms are forced apart once, at their first step: arm b may not begin with arm a's first token. Later they may
//! write the same, since what differs before is in their context. The released code forces them apart at every step.

use super::tilt::{DuelRow, TiltedRow, TokenArm, TokenTaste};
use crate::tpop::params::TokenScore;
use std::sync::Arc;
use trimtab_runtime::Result;
use trimtab_runtime::group_sampling::{Candidate, GroupSampler};
use trimtab_runtime::sample::{Draw, Sampling};

/// Chooses the tokens of two answers under one taste.
#[derive(Debug, Clone)]
pub struct TokenDuel {
    taste: Arc<TokenTaste>,
    sampling: Sampling,
    /// The mean of the tokens that arm a has written.
    written: Vec<f32>,
    first_of_a: Option<u32>,
    forced: usize,
    kl: [f64; 2],
}

impl TokenDuel {
    /// A duel of two answers to one prompt that have no token yet.
    pub fn new(taste: Arc<TokenTaste>, sampling: Sampling) -> TokenDuel {
        let written = taste.features().of_answer(&[]);
        TokenDuel { taste, sampling, written, first_of_a: None, forced: 0, kl: [0.0; 2] }
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
                let allowed = tilted.scores.iter().filter(|(id, _)| Some(*id) != forbidden);
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

fn arm(index: usize) -> TokenArm {
    if index == 0 { TokenArm::A } else { TokenArm::B }
}

impl GroupSampler for TokenDuel {
    // rows of [vocab_size] -> one token each
    fn choose(&mut self, candidates: &[Candidate]) -> Result<Vec<u32>> {
        let answers: Vec<&[u32]> = candidates.iter().map(|row| row.context.generated()).collect();
        let a = candidates.iter().zip(&answers).find(|(row, _)| row.index == 0);
        if let Some((_, answer)) = a {
            self.written = self.taste.features().of_answer(answer);
        }
        let rows: Vec<DuelRow<'_>> = candidates
            .iter()
            .map(|row| DuelRow { arm: arm(row.index), logits: row.logits })
            .collect();
        let tilted = self.taste.tilt(&rows, &self.written);
        let mut tokens = Vec::with_capacity(candidates.len());
        for ((row, tilted), answer) in candidates.iter().zip(&tilted).zip(&answers) {
            let is_first = answer.is_empty();
            let forbidden = self.first_of_a.filter(|_| is_first && row.index != 0);
            self.forced += usize::from(forbidden.is_some());
            let token = self.token(row, tilted, forbidden)?;
            if is_first && row.index == 0 {
                self.first_of_a = Some(token);
            }
            self.kl.iter_mut().skip(row.index).take(1).for_each(|kl| *kl += tilted.kl);
            tokens.push(token);
        }
        Ok(tokens)
    }
}
