//! The positions of an answer with what an update needs of each: token, activations, partition, credit.

use super::head::OutputHead;
use super::logits::{self, RowFacts};
use super::mask;
use super::params::RosaParams;
use super::refusal::{SkipReason, Tried};
use super::state::BlockState;
use super::trace::{AnswerTrace, LastBlock};
use crate::error::Result;
use std::ops::Range;

/// Largest gap between a partition in the trace and one computed again.
pub(super) const LSE_TOLERANCE: f64 = 1e-2;
/// Rows whose logits over the vocabulary are in memory at a time.
const SCORED_ROWS: usize = 8;

/// What the policy that answered was like at each position.
pub(super) struct Seen {
    pub(super) likeliest: Vec<Vec<(u32, f32)>>,
    pub(super) entropy: Vec<f64>,
}

impl Seen {
    /// Out of the trace, or from the logits of the whole vocabulary, whose partitions must then be those of the trace.
    // states [T, d]
    pub(super) fn of(
        trace: &AnswerTrace,
        states: &[f32],
        head: &dyn OutputHead,
        top_k: usize,
        pause: &dyn Fn(),
    ) -> Tried<Seen> {
        if let Some(readout) = &trace.readout {
            let rows = readout.likeliest.iter();
            let likeliest = rows.map(|row| row.iter().take(top_k).copied().collect()).collect();
            return Ok(Seen { likeliest, entropy: readout.entropy.clone() });
        }
        let mut seen = Seen { likeliest: Vec::new(), entropy: Vec::new() };
        let (width, vocabulary) = (head.width(), head.vocabulary());
        let rows = states.chunks(SCORED_ROWS * width).zip(trace.lse.chunks(SCORED_ROWS));
        for (states, lse) in rows {
            for (logits, lse) in head.scores(states)?.chunks(vocabulary).zip(lse) {
                let RowFacts { lse: again, entropy } = logits::facts(logits);
                same_partition(*lse, again)?;
                seen.likeliest.push(logits::likeliest(logits, again, top_k));
                seen.entropy.push(entropy);
            }
            pause();
        }
        Ok(seen)
    }
}

/// Refuses a partition that is not the trace's.
pub(super) fn same_partition(traced: f64, again: f64) -> Tried<()> {
    if !traced.is_finite() || !again.is_finite() {
        return Err(SkipReason::Breakdown.into());
    }
    match (traced - again).abs() <= LSE_TOLERANCE {
        true => Ok(()),
        false => Err(SkipReason::TraceMismatch.into()),
    }
}

/// The activations at `final` under the version that answered.
// -> [T, d]
pub(super) fn served(trace: &AnswerTrace, block: &BlockState) -> Vec<f32> {
    match block {
        BlockState::LastMlpLora(_) => trace.states.clone(),
        BlockState::FinalOffset(offset) => {
            let rows = trace.states.chunks(offset.delta.len().max(1));
            rows.flat_map(|row| row.iter().zip(&offset.delta).map(|(h, d)| h + d)).collect()
        }
    }
}

/// Positions of an answer, row by row.
#[derive(Debug, Clone)]
pub(super) struct Lesson {
    pub(super) tokens: Vec<u32>,
    /// `final` as it was served, offset included, `[t, d]`.
    pub(super) states: Vec<f32>,
    pub(super) lse: Vec<f64>,
    /// Of at least 0, their sum 1.
    pub(super) credit: Vec<f64>,
    pub(super) last_block: Option<LastBlock>,
}

impl Lesson {
    // states [T, d], entropy [T]
    pub(super) fn new(
        trace: &AnswerTrace,
        states: Vec<f32>,
        entropy: &[f64],
        params: &RosaParams,
        span: Option<&[Range<usize>]>,
    ) -> Tried<Lesson> {
        let credit = mask::credit(params.mask, entropy, span).ok_or(SkipReason::NoCredit)?;
        Ok(Lesson {
            tokens: trace.tokens.clone(),
            states,
            lse: trace.lse.clone(),
            credit,
            last_block: trace.last_block.clone(),
        })
    }

    /// The positions of the largest credit, at most so many, in their order.
    pub(super) fn foremost(&self, count: usize) -> Vec<usize> {
        let mut ranked: Vec<(usize, f64)> = self.credit.iter().copied().enumerate().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut kept: Vec<usize> = ranked.into_iter().take(count).map(|(at, _)| at).collect();
        kept.sort_unstable();
        kept
    }

    /// These positions alone, their credit scaled to sum to 1.
    pub(super) fn of(&self, positions: &[usize], width: usize) -> Tried<Lesson> {
        let credit = pick(&self.credit, positions, 1);
        let last = self.last_block.as_ref().map(|last| LastBlock {
            resid_mid: pick(&last.resid_mid, positions, width),
            resid_post: pick(&last.resid_post, positions, width),
        });
        Ok(Lesson {
            tokens: pick(&self.tokens, positions, 1),
            states: pick(&self.states, positions, width),
            lse: pick(&self.lse, positions, 1),
            credit: mask::normalised(credit).ok_or(SkipReason::NoCredit)?,
            last_block: last,
        })
    }

    /// The same with no credit for other positions.
    pub(super) fn credited(self, positions: &[usize]) -> Tried<Lesson> {
        let places = self.credit.iter().enumerate();
        let left = places.map(|(at, w)| if positions.contains(&at) { *w } else { 0.0 });
        let credit = mask::normalised(left.collect()).ok_or(SkipReason::NoCredit)?;
        Ok(Lesson { credit, ..self })
    }

    /// The logits of all tokens under the version that answered.
    // -> [t, V]
    pub(super) fn logits(&self, head: &dyn OutputHead) -> Result<Vec<f32>> {
        head.scores(&self.states)
    }
}

/// Rows of a matrix.
// rows [n, width] -> [positions, width]
fn pick<T: Copy>(rows: &[T], positions: &[usize], width: usize) -> Vec<T> {
    let row = |at: &usize| rows.get(at * width..(at + 1) * width).unwrap_or_default();
    positions.iter().flat_map(row).copied().collect()
}
