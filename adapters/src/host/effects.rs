//! What an adapter did to the tokens of an answer, from the activations that led to them.

use super::evidence::without;
use super::pinned::{AdapterState, PinnedAdapter};
use super::recorder::Recording;
use crate::error::Result;
use crate::rosa::{BlockState, LastMlpLora};
use trimtab_runtime::decoder::Head;
use trimtab_runtime::sample::Step;

/// Tokens of an answer whose change is computed exactly: each takes two products with the output matrix.
const LOOKED_AT: usize = 32;

/// How much more or less likely an adapter made a token that was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenEffect {
    /// Which token of the answer.
    pub index: usize,
    /// Its id.
    pub token: u32,
    /// Its log-probability with the adapter, before temperature.
    pub with: f64,
    /// Its log-probability without.
    pub without: f64,
}

impl TokenEffect {
    /// The change of the log-probability.
    pub fn shift(&self) -> f64 {
        self.with - self.without
    }
}

impl PinnedAdapter {
    /// The tokens of an answer that the adapter changed most, at most so many, the largest change first. Of a long answer only
    /// the tokens that it pushed hardest are looked at. An adapter that changes nothing in the model has none.
    ///
    /// # Errors
    ///
    /// A recording of another width.
    pub fn effects(
        &self,
        head: &Head<'_>,
        recording: &Recording,
        most: usize,
    ) -> Result<Vec<TokenEffect>> {
        let AdapterState::Rosa(state) = self.state() else { return Ok(Vec::new()) };
        let width = self.shape.0.max(1);
        let tokens = recording.finals.len() / width;
        let tokens = recording.tokens.get(..tokens).unwrap_or(&recording.tokens);
        if state.block.is_zero() || tokens.is_empty() {
            return Ok(Vec::new());
        }
        let with = recording.finals.get(..tokens.len() * width).unwrap_or_default();
        let without = untaught(head, &state.block, recording, with)?;
        let mut effects = Vec::new();
        for index in hardest(head, tokens, (with, &without), width)? {
            let row = |rows: &[f32]| {
                rows.get(index * width..(index + 1) * width).unwrap_or_default().to_vec()
            };
            let token = tokens.get(index).copied().unwrap_or_default();
            let log_p = |state: Vec<f32>| -> Result<f64> {
                Ok(Step::of(token, &head.logits(&state)?, 0).logprob)
            };
            let (with, without) = (log_p(row(with))?, log_p(row(&without))?);
            effects.push(TokenEffect { index, token, with, without });
        }
        effects.sort_by(|a, b| b.shift().abs().total_cmp(&a.shift().abs()));
        effects.truncate(most);
        Ok(effects)
    }
}

/// The activations at `final` as they were without the block.
// with [n, d_model] -> [n, d_model]
fn untaught(
    head: &Head<'_>,
    block: &BlockState,
    recording: &Recording,
    with: &[f32],
) -> Result<Vec<f32>> {
    match block {
        BlockState::FinalOffset(offset) => Ok(without(with, offset)),
        BlockState::LastMlpLora(lora) => match &recording.last_block {
            Some(last) if last.resid_post.len() >= with.len() => {
                let post = last.resid_post.get(..with.len()).unwrap_or_default();
                Ok(head.norm(&unpushed(lora, post, &last.resid_mid))?)
            }
            Some(_) | None => Ok(with.to_vec()),
        },
    }
}

/// A stream without the push that is in it.
// resid_post [n, d_model], resid_mid [n, d_model] -> [n, d_model]
fn unpushed(lora: &LastMlpLora, resid_post: &[f32], resid_mid: &[f32]) -> Vec<f32> {
    let width = (lora.down().len() / lora.rank().max(1)).max(1);
    let pushes = resid_mid.chunks(width).flat_map(|row| lora.push(row));
    resid_post.iter().zip(pushes).map(|(x, push)| x - push).collect()
}

/// The tokens whose own logits were pushed hardest, in order.
fn hardest(
    head: &Head<'_>,
    tokens: &[u32],
    (with, without): (&[f32], &[f32]),
    width: usize,
) -> Result<Vec<usize>> {
    if tokens.len() <= LOOKED_AT {
        return Ok((0..tokens.len()).collect());
    }
    let rows = head.rows(tokens)?;
    let rows = rows.chunks(width).zip(with.chunks(width).zip(without.chunks(width)));
    let push = |(row, (with, without)): (&[f32], (&[f32], &[f32]))| {
        let change = with.iter().zip(without).map(|(x, y)| f64::from(x - y));
        change.zip(row).map(|(change, w)| change * f64::from(*w)).sum::<f64>().abs()
    };
    let mut pushed: Vec<(usize, f64)> = rows.map(push).enumerate().collect();
    pushed.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    pushed.truncate(LOOKED_AT);
    Ok(pushed.into_iter().map(|(index, _)| index).collect())
}
