//! What is learnt: one block of parameters at one version. A step makes a new one.

use super::head::OutputHead;
use super::params::{BlockKind, RosaParams};
use super::product;
use crate::error::{Error, Result};
use trimtab_steering::estimate::gaussian;

/// `δ`, added at `final`. The same as the logit bias `W·δ`, and no key or value depends on it.
#[derive(Debug, Clone, PartialEq)]
pub struct FinalOffset {
    /// `[d_model]`
    pub delta: Vec<f32>,
}

impl FinalOffset {
    /// `W·δ`: what the offset adds to the logits of every position.
    // -> [V]
    pub fn bias(&self, head: &dyn OutputHead) -> Result<Vec<f32>> {
        if self.delta.iter().all(|x| *x == 0.0) {
            return Ok(vec![0.0; head.vocabulary()]);
        }
        head.scores(&self.delta)
    }
}

/// A map of low rank beside the last MLP: `B·A·n(resid_mid)` is added at `mlp_out` of the last block, with `n` dividing by
/// the root mean square. `A` is fixed, `B` is learnt. No key or value depends on it.
#[derive(Debug, Clone, PartialEq)]
pub struct LastMlpLora {
    seed: u64,
    rank: usize,
    /// `A`, `[rank, d_model]`, orthonormal rows.
    down: Vec<f32>,
    /// `B`, `[d_model, rank]`.
    up: Vec<f32>,
}

impl LastMlpLora {
    /// `B = 0` and the `A` of a seed: normal draws, made orthonormal in order.
    ///
    /// # Errors
    ///
    /// A rank above the width, or 0.
    pub fn untaught(width: usize, rank: usize, seed: u64) -> Result<LastMlpLora> {
        if rank == 0 || rank > width {
            return Err(Error::invalid("rosa.rank", format!("is {rank}, the stream {width} wide")));
        }
        let down = orthonormal(&gaussian(seed, rank * width), width);
        Ok(LastMlpLora { seed, rank, down, up: vec![0.0; width * rank] })
    }

    /// What `A` was drawn with.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Columns of `B`.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// `B`, `[d_model, rank]`.
    pub fn up(&self) -> &[f32] {
        &self.up
    }

    /// `A`, `[rank, d_model]`.
    pub fn down(&self) -> &[f32] {
        &self.down
    }

    /// The same map with another `B`.
    // up [d_model, rank]
    pub(super) fn taught(self, up: Vec<f32>) -> LastMlpLora {
        LastMlpLora { up, ..self }
    }

    /// `A·n(x)` of one position.
    // resid_mid [d_model] -> [rank]
    pub(super) fn inner(&self, resid_mid: &[f32]) -> Vec<f64> {
        let width = resid_mid.len().max(1);
        let root = (product::squared(resid_mid) / width as f64).sqrt().max(f64::MIN_POSITIVE);
        let x: Vec<f64> = resid_mid.iter().map(|x| f64::from(*x) / root).collect();
        product::times(&self.down, &x)
    }

    /// What is added at `mlp_out` of the last block at one position.
    // resid_mid [d_model] -> [d_model]
    pub fn push(&self, resid_mid: &[f32]) -> Vec<f32> {
        let inner = self.inner(resid_mid);
        self.up.chunks(self.rank.max(1)).map(|row| product::dot(row, &inner) as f32).collect()
    }

    /// A stream with the push in it, row by row.
    // resid_post [n, d_model], resid_mid [n, d_model] -> [n, d_model]
    pub(super) fn pushed(&self, resid_post: &[f32], resid_mid: &[f32]) -> Vec<f32> {
        let width = self.down.len() / self.rank.max(1);
        let rows = resid_post.chunks(width.max(1)).zip(resid_mid.chunks(width.max(1)));
        let row = |(post, mid): (&[f32], &[f32])| {
            post.iter().zip(self.push(mid)).map(|(x, push)| x + push).collect::<Vec<_>>()
        };
        rows.flat_map(row).collect()
    }
}

/// Gram–Schmidt, each row twice, so that rounding of the first time is removed by the second.
// rows [n, width] -> [n, width]
fn orthonormal(rows: &[f64], width: usize) -> Vec<f32> {
    let mut done: Vec<Vec<f64>> = Vec::new();
    for row in rows.chunks(width.max(1)) {
        let mut row = row.to_vec();
        for before in done.iter().chain(&done) {
            let along = product::dot64(before, &row);
            row.iter_mut().zip(before).for_each(|(x, b)| *x -= along * b);
        }
        let length = product::norm(&row);
        row.iter_mut().for_each(|x| *x /= length);
        done.push(row);
    }
    done.concat().into_iter().map(|x| x as f32).collect()
}

/// The block that is moved, with its numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum BlockState {
    /// An offset at `final`.
    FinalOffset(FinalOffset),
    /// A map of low rank beside the last MLP.
    LastMlpLora(LastMlpLora),
}

impl BlockState {
    /// Which it is.
    pub fn kind(&self) -> BlockKind {
        match self {
            BlockState::FinalOffset(_) => BlockKind::FinalOffset,
            BlockState::LastMlpLora(_) => BlockKind::LastMlpLora,
        }
    }

    /// The parameters in one row: `δ`, or `B` row by row.
    pub fn values(&self) -> &[f32] {
        match self {
            BlockState::FinalOffset(offset) => &offset.delta,
            BlockState::LastMlpLora(lora) => &lora.up,
        }
    }

    /// Whether it changes nothing.
    pub fn is_zero(&self) -> bool {
        self.values().iter().all(|x| *x == 0.0)
    }

    /// The same block, untaught.
    pub fn emptied(&self) -> BlockState {
        let zeros = vec![0.0; self.values().len()];
        match self {
            BlockState::FinalOffset(_) => BlockState::FinalOffset(FinalOffset { delta: zeros }),
            BlockState::LastMlpLora(lora) => BlockState::LastMlpLora(lora.clone().taught(zeros)),
        }
    }

    /// The same block with these parameters.
    pub(super) fn with(&self, values: Vec<f32>) -> Result<BlockState> {
        let (found, expected) = (values.len(), self.values().len());
        if found != expected {
            let problem = format!("has {found} values, the state {expected}");
            return Err(Error::invalid("step", problem));
        }
        Ok(match self {
            BlockState::FinalOffset(_) => BlockState::FinalOffset(FinalOffset { delta: values }),
            BlockState::LastMlpLora(lora) => BlockState::LastMlpLora(lora.clone().taught(values)),
        })
    }
}

/// Immutable: the parameters of one owner at one version, for one model.
#[derive(Debug, Clone, PartialEq)]
pub struct RosaState {
    /// How many steps led to it.
    pub version: u64,
    /// Digest of the model and its quantisation.
    pub model: [u8; 32],
    /// The parameters.
    pub block: BlockState,
}

impl RosaState {
    /// Version 0, which changes nothing.
    ///
    /// # Errors
    ///
    /// A rank above the width.
    pub fn untaught(
        params: &RosaParams,
        width: usize,
        model: [u8; 32],
        seed: u64,
    ) -> Result<RosaState> {
        let block = match params.block {
            BlockKind::FinalOffset => {
                BlockState::FinalOffset(FinalOffset { delta: vec![0.0; width] })
            }
            BlockKind::LastMlpLora => {
                BlockState::LastMlpLora(LastMlpLora::untaught(width, params.rank, seed)?)
            }
        };
        Ok(RosaState { version: 0, model, block })
    }

    /// The next version, `decay·φ + step`.
    ///
    /// # Errors
    ///
    /// A step of another length.
    // step [values]
    pub fn stepped(&self, decay: f64, step: &[f32]) -> Result<RosaState> {
        let old = self.block.values();
        if old.len() != step.len() {
            let problem = format!("has {} values, the state {}", step.len(), old.len());
            return Err(Error::invalid("step", problem));
        }
        let both = old.iter().zip(step);
        let new = both.map(|(old, step)| (decay * f64::from(*old) + f64::from(*step)) as f32);
        let block = self.block.with(new.collect())?;
        Ok(RosaState { version: self.version + 1, model: self.model, block })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inner_map_has_orthonormal_rows_of_its_seed() {
        let lora = LastMlpLora::untaught(24, 4, 7).unwrap();
        let rows: Vec<&[f32]> = lora.down().chunks(24).collect();
        for (i, a) in rows.iter().enumerate() {
            for (j, b) in rows.iter().enumerate() {
                let b: Vec<f64> = b.iter().map(|x| f64::from(*x)).collect();
                let expected = f64::from(i == j);
                assert!((product::dot(a, &b) - expected).abs() < 1e-6, "{i} {j}");
            }
        }
        assert_eq!(lora, LastMlpLora::untaught(24, 4, 7).unwrap());
        assert_ne!(lora, LastMlpLora::untaught(24, 4, 8).unwrap());
        assert!(LastMlpLora::untaught(3, 4, 7).is_err());
    }

    #[test]
    fn a_step_makes_the_next_version_and_leaves_the_old() {
        let old = RosaState::untaught(&RosaParams::default(), 3, [0; 32], 0).unwrap();
        let one = old.stepped(1.0, &[1.0, -2.0, 0.5]).unwrap();
        let two = one.stepped(0.5, &[0.0, 1.0, 0.0]).unwrap();
        assert!(old.block.is_zero() && old.version == 0);
        assert_eq!((two.version, two.block.values()), (2, &[0.5, 0.0, 0.25][..]));
        assert!(one.stepped(1.0, &[0.0; 2]).is_err());
    }
}
