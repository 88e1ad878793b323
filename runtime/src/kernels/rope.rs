//! Rotation of queries and keys by position.

use super::values;
use crate::model::rope::{RopeStyle, RopeTable};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

/// The positions and head layout of one packed pass.
pub(crate) struct Heads<'a> {
    /// Absolute position of each packed row.
    pub positions: &'a [u32],
    /// Heads in a row.
    pub count: usize,
    /// Width of one.
    pub dim: usize,
}

// x [Σtime, heads·head_dim] -> the same, rotated
pub(crate) fn rotate(x: &Tensor, table: &RopeTable, heads: &Heads) -> Result<Tensor> {
    if x.device().is_cpu() {
        let op = Rotate {
            positions: heads.positions.to_vec(),
            head_dim: heads.dim,
            rotary_dim: table.rotary_dim,
            style: table.style,
        };
        return x.contiguous()?.apply_op3_no_bwd(&table.cos, &table.sin, &op);
    }
    rotate_with_candle(x, table, heads)
}

// x [Σtime, heads·head_dim] -> the same, rotated
fn rotate_with_candle(x: &Tensor, table: &RopeTable, heads: &Heads) -> Result<Tensor> {
    let time = heads.positions.len();
    let index = Tensor::from_slice(heads.positions, time, x.device())?;
    let (cos, sin) = (table.cos.index_select(&index, 0)?, table.sin.index_select(&index, 0)?);
    // [time, heads, dim] -> [1, heads, time, rotary]
    let x = x.reshape((time, heads.count, heads.dim))?;
    let turned = x.narrow(2, 0, table.rotary_dim)?.transpose(0, 1)?.contiguous()?.unsqueeze(0)?;
    let turned = match table.style {
        RopeStyle::Halves => candle_nn::rotary_emb::rope_slow(&turned, &cos, &sin)?,
        RopeStyle::Interleaved => candle_nn::rotary_emb::rope_i_slow(&turned, &cos, &sin)?,
    };
    let turned = turned.squeeze(0)?.transpose(0, 1)?;
    let kept = x.narrow(2, table.rotary_dim, heads.dim - table.rotary_dim)?;
    Tensor::cat(&[&turned, &kept], 2)?.reshape((time, heads.count * heads.dim))
}

struct Rotate {
    positions: Vec<u32>,
    head_dim: usize,
    rotary_dim: usize,
    style: RopeStyle,
}

impl CustomOp3 for Rotate {
    fn name(&self) -> &'static str {
        "rotate"
    }

    // x [Σtime, heads·head_dim], cos and sin [context, rotary/2] -> x rotated
    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        cos: &CpuStorage,
        cos_layout: &Layout,
        sin: &CpuStorage,
        sin_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (time, width) = x_layout.shape().dims2()?;
        let (context, half) = cos_layout.shape().dims2()?;
        let outside = self.positions.iter().any(|p| *p as usize >= context);
        if time != self.positions.len() || outside {
            candle_core::bail!("{time} rows at positions {:?} of {context}", self.positions);
        }
        let (cos, sin) = (values(cos, cos_layout)?, values(sin, sin_layout)?);
        let mut turned = values(x, x_layout)?.to_vec();
        for (row, position) in turned.chunks_mut(width).zip(&self.positions) {
            let at = *position as usize * half..(*position as usize + 1) * half;
            for head in row.chunks_mut(self.head_dim) {
                self.turn(&mut head[..self.rotary_dim], &cos[at.clone()], &sin[at.clone()]);
            }
        }
        Ok((CpuStorage::F32(turned), x_layout.shape().clone()))
    }
}

impl Rotate {
    // [rotary] in place
    fn turn(&self, head: &mut [f32], cos: &[f32], sin: &[f32]) {
        let half = head.len() / 2;
        for (i, (c, s)) in cos.iter().zip(sin).enumerate() {
            let (a, b) = match self.style {
                RopeStyle::Halves => (i, i + half),
                RopeStyle::Interleaved => (2 * i, 2 * i + 1),
            };
            let (x, y) = (head[a], head[b]);
            head[a] = x * c - y * s;
            head[b] = x * s + y * c;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::rope::{RopeScaling, RopeSpec};
    use candle_core::Device;

    #[test]
    fn agrees_with_candle_in_both_styles() {
        for style in [RopeStyle::Halves, RopeStyle::Interleaved] {
            let spec = RopeSpec { base: 100.0, rotary_dim: 6, style, scaling: RopeScaling::None };
            let table = RopeTable::new(&spec, 32, &Device::Cpu).unwrap();
            let x: Vec<f32> = (0..3 * 2 * 8).map(|i| (i as f32).sin()).collect();
            let x = Tensor::from_vec(x, (3, 16), &Device::Cpu).unwrap();
            let heads = Heads { positions: &[5, 6, 31], count: 2, dim: 8 };
            let gap = (rotate(&x, &table, &heads).unwrap()
                - rotate_with_candle(&x, &table, &heads).unwrap())
            .unwrap();
            let gap = gap.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(gap < 1e-6, "{style:?}: {gap}");
        }
    }
}
