//! Between the projections and attention: norms of queries and keys, and their rotation by position.
//!
//! Projections come as one row q‖k‖v per token, and leave as one.

use super::prologue::norm_in_place;
use super::simd::{self, Task};
use super::values;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Storage, Tensor};

/// Which elements of a head are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeStyle {
    /// Neighbours (2i, 2i+1).
    Interleaved,
    /// Halves (i, i + rotary/2).
    Halves,
}

/// cos and sin for every position up to the context, on the device.
#[derive(Debug, Clone)]
pub struct RopeTable {
    /// `[context, rotary_dim / 2]`
    pub cos: Tensor,
    /// `[context, rotary_dim / 2]`
    pub sin: Tensor,
    /// Rotated leading elements of a head.
    pub rotary_dim: usize,
    /// Pairing.
    pub style: RopeStyle,
}

/// The parts of a q‖k‖v row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadShape {
    /// Query heads.
    pub heads: usize,
    /// Key–value heads.
    pub kv_heads: usize,
    /// Width of one head.
    pub dim: usize,
}

impl HeadShape {
    /// Width of the queries.
    pub(crate) fn q(&self) -> usize {
        self.heads * self.dim
    }

    /// Width of the keys, and of the values.
    pub(crate) fn kv(&self) -> usize {
        self.kv_heads * self.dim
    }

    /// Width of a row.
    pub(crate) fn row(&self) -> usize {
        self.q() + 2 * self.kv()
    }
}

/// Norm weights of queries and keys; a weight as long as all heads together normalises them together.
#[derive(Debug)]
pub(crate) struct HeadNorms {
    pub query: Vec<f32>,
    pub key: Vec<f32>,
    pub eps: f32,
}

// qkv [Σtime, row] -> the same with queries and keys normalised and rotated
pub(crate) fn prepare(
    qkv: &Tensor,
    shape: HeadShape,
    norms: Option<&HeadNorms>,
    table: &RopeTable,
    positions: &[u32],
) -> Result<Tensor> {
    if qkv.device().is_cpu() {
        let op = Prepare { shape, norms, table, positions };
        return qkv.contiguous()?.apply_op1_no_bwd(&op);
    }
    prepare_with_candle(qkv, shape, norms, table, positions)
}

// as `prepare`
fn prepare_with_candle(
    qkv: &Tensor,
    shape: HeadShape,
    norms: Option<&HeadNorms>,
    table: &RopeTable,
    positions: &[u32],
) -> Result<Tensor> {
    let part = |from, len| qkv.narrow(1, from, len)?.contiguous();
    let (q, k) = (part(0, shape.q())?, part(shape.q(), shape.kv())?);
    let v = part(shape.q() + shape.kv(), shape.kv())?;
    let normed = |x: Tensor, weight: &[f32], eps: f32| {
        let all = x.shape().clone();
        let weight = Tensor::new(weight, x.device())?;
        let runs = x.reshape(((), weight.elem_count()))?;
        candle_nn::ops::rms_norm(&runs, &weight, eps)?.reshape(all)
    };
    let (q, k) = match norms {
        Some(n) => (normed(q, &n.query, n.eps)?, normed(k, &n.key, n.eps)?),
        None => (q, k),
    };
    let q = rotate_with_candle(&q, shape.heads, table, positions)?;
    let k = rotate_with_candle(&k, shape.kv_heads, table, positions)?;
    Tensor::cat(&[&q, &k, &v], 1)
}

// x [time, heads·dim] -> the same, rotated
fn rotate_with_candle(
    x: &Tensor,
    heads: usize,
    table: &RopeTable,
    positions: &[u32],
) -> Result<Tensor> {
    let (time, width) = x.dims2()?;
    let dim = width / heads;
    let index = Tensor::from_slice(positions, time, x.device())?;
    let (cos, sin) = (table.cos.index_select(&index, 0)?, table.sin.index_select(&index, 0)?);
    // [time, heads, dim] -> [1, heads, time, rotary]
    let x = x.reshape((time, heads, dim))?;
    let turned = x.narrow(2, 0, table.rotary_dim)?.transpose(0, 1)?.contiguous()?.unsqueeze(0)?;
    let turned = match table.style {
        RopeStyle::Halves => candle_nn::rotary_emb::rope_slow(&turned, &cos, &sin)?,
        RopeStyle::Interleaved => candle_nn::rotary_emb::rope_i_slow(&turned, &cos, &sin)?,
    };
    let turned = turned.squeeze(0)?.transpose(0, 1)?;
    let kept = x.narrow(2, table.rotary_dim, dim - table.rotary_dim)?;
    Tensor::cat(&[&turned, &kept], 2)?.reshape((time, width))
}

struct Prepare<'a> {
    shape: HeadShape,
    norms: Option<&'a HeadNorms>,
    table: &'a RopeTable,
    positions: &'a [u32],
}

impl CustomOp1 for Prepare<'_> {
    fn name(&self) -> &'static str {
        "prepare-heads"
    }

    // qkv [Σtime, row] -> qkv
    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Prepare { shape, norms, table, positions } = *self;
        let mut rows = values(qkv, layout)?.to_vec();
        Angles::read(table, |angles| {
            let preparation = Preparation { shape, norms, angles };
            preparation.check(rows.len(), positions)?;
            preparation.rows(&mut rows, positions);
            Ok(())
        })?;
        Ok((CpuStorage::F32(rows), layout.shape().clone()))
    }
}

/// A rotary table in host memory.
#[derive(Clone, Copy)]
pub(super) struct Angles<'a> {
    /// `[context, half]`
    cos: &'a [f32],
    /// `[context, half]`
    sin: &'a [f32],
    half: usize,
    style: RopeStyle,
}

impl Angles<'_> {
    /// Hands out the table's own storage, so that it is not held twice.
    pub(super) fn read<T>(
        table: &RopeTable,
        then: impl FnOnce(Angles<'_>) -> Result<T>,
    ) -> Result<T> {
        let (cos, cos_layout) = table.cos.storage_and_layout();
        let (sin, sin_layout) = table.sin.storage_and_layout();
        let (Storage::Cpu(cos), Storage::Cpu(sin)) = (&*cos, &*sin) else {
            candle_core::bail!("rope table is not in host memory");
        };
        let (cos, sin) = (values(cos, cos_layout)?, values(sin, sin_layout)?);
        then(Angles { cos, sin, half: table.rotary_dim / 2, style: table.style })
    }
}

/// What happens to queries and keys of host rows.
#[derive(Clone, Copy)]
pub(super) struct Preparation<'a> {
    pub shape: HeadShape,
    pub norms: Option<&'a HeadNorms>,
    pub angles: Angles<'a>,
}

impl Preparation<'_> {
    /// Refuses rows without a position, and positions the table does not have.
    pub(super) fn check(&self, values: usize, positions: &[u32]) -> Result<()> {
        let context = self.angles.cos.len() / self.angles.half.max(1);
        if let Some(outside) = positions.iter().find(|p| **p as usize >= context) {
            candle_core::bail!("position {outside} has no rotation: the table ends at {context}");
        }
        if values != positions.len() * self.shape.row() {
            candle_core::bail!("{values} values are not {} rows", positions.len());
        }
        Ok(())
    }

    // rows [positions, row] in place
    pub(super) fn rows(&self, rows: &mut [f32], positions: &[u32]) {
        simd::on_widest_unit(Rows { how: self, rows, positions });
    }
}

struct Rows<'a> {
    how: &'a Preparation<'a>,
    /// `[positions, row]`
    rows: &'a mut [f32],
    positions: &'a [u32],
}

impl Task for Rows<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Preparation { shape, norms, angles } = *self.how;
        for (row, position) in self.rows.chunks_mut(shape.row()).zip(self.positions) {
            let at = *position as usize * angles.half..(*position as usize + 1) * angles.half;
            let (cos, sin) = (&angles.cos[at.clone()], &angles.sin[at]);
            let (q, kv) = row.split_at_mut(shape.q());
            let k = &mut kv[..shape.kv()];
            if let Some(norms) = norms {
                norm_runs::<FMA>(q, &norms.query, norms.eps);
                norm_runs::<FMA>(k, &norms.key, norms.eps);
            }
            for head in q.chunks_mut(shape.dim).chain(k.chunks_mut(shape.dim)) {
                turn(angles.style, head, cos, sin);
            }
        }
    }
}

// x [n·width] in place, every run of `weight`'s length on its own
#[inline(always)]
fn norm_runs<const FMA: bool>(x: &mut [f32], weight: &[f32], eps: f32) {
    for part in x.chunks_mut(weight.len()) {
        norm_in_place::<FMA>(part, weight, eps);
    }
}

// head [dim] in place; its first 2·cos.len() values turn
#[inline(always)]
fn turn(style: RopeStyle, head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let half = cos.len();
    match style {
        RopeStyle::Halves => {
            let (first, second) = head[..2 * half].split_at_mut(half);
            for ((x, y), (c, s)) in first.iter_mut().zip(second).zip(cos.iter().zip(sin)) {
                (*x, *y) = (*x * c - *y * s, *x * s + *y * c);
            }
        }
        RopeStyle::Interleaved => {
            let pairs = head.as_chunks_mut::<2>().0.iter_mut();
            for ([x, y], (c, s)) in pairs.zip(cos.iter().zip(sin)) {
                (*x, *y) = (*x * c - *y * s, *x * s + *y * c);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::rope::{RopeScaling, RopeSpec};
    use candle_core::Device;

    #[test]
    fn agrees_with_candle_in_both_styles_and_all_norms() {
        let shape = HeadShape { heads: 4, kv_heads: 2, dim: 8 };
        let weights = |n: usize| (0..n).map(|i| 1.0 + (i as f32).cos() * 0.2).collect::<Vec<f32>>();
        let norms = |q, k| Some(HeadNorms { query: weights(q), key: weights(k), eps: 1e-5 });
        for style in [RopeStyle::Halves, RopeStyle::Interleaved] {
            for norms in [None, norms(8, 8), norms(32, 16)] {
                let spec =
                    RopeSpec { base: 100.0, rotary_dim: 6, style, scaling: RopeScaling::None };
                let table = RopeTable::new(&spec, 32, &Device::Cpu).unwrap();
                let x: Vec<f32> = (0..3 * shape.row()).map(|i| (i as f32).sin()).collect();
                let x = Tensor::from_vec(x, (3, shape.row()), &Device::Cpu).unwrap();
                let positions = [5, 6, 31];
                let ours = prepare(&x, shape, norms.as_ref(), &table, &positions).unwrap();
                let theirs =
                    prepare_with_candle(&x, shape, norms.as_ref(), &table, &positions).unwrap();
                let gap = (ours - theirs).unwrap().abs().unwrap().max_all().unwrap();
                assert!(gap.to_scalar::<f32>().unwrap() < 2e-6, "{style:?} {norms:?}");
            }
        }
    }
}
