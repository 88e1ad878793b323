//! Dense product with a transposed weight, one summation order for any number of rows.
#![allow(unsafe_code)] // tasks write disjoint rows of one result; the block says why it is sound

use super::simd::{self, LANES, Task};
use super::threads::{self, Parts};
use super::values;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

/// Rows of the weight one task takes: small enough to share, large enough to stay in the L2 cache.
const COLUMNS: usize = 32;
/// Activations and weights a register tile holds.
const TILE: usize = 4;

// x [time, in] · weight [out, in] -> [time, out]
pub(crate) fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op2_no_bwd(weight, &Dense);
    }
    x.matmul(&weight.t()?)
}

struct Dense;

impl CustomOp2 for Dense {
    fn name(&self) -> &'static str {
        "dense"
    }

    // x [time, in], w [out, in] -> [time, out]
    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((time, width), (out, w_width)) =
            (x_layout.shape().dims2()?, w_layout.shape().dims2()?);
        if width != w_width || width == 0 {
            candle_core::bail!("dense product of widths {width} and {w_width}");
        }
        let product = product(values(x, x_layout)?, values(w, w_layout)?, width);
        Ok((CpuStorage::F32(product), Shape::from((time, out))))
    }
}

// x [time, width], w [out, width] -> [time, out]
pub(crate) fn product(x: &[f32], w: &[f32], width: usize) -> Vec<f32> {
    let (time, out) = (x.len() / width, w.len() / width);
    if time == 0 {
        return Vec::new();
    }
    transpose(turned(x, w, width), out, time)
}

// x [time, width], w [out, width] -> [out, time]: each task owns whole rows of the result
fn turned(x: &[f32], w: &[f32], width: usize) -> Vec<f32> {
    let (time, out) = (x.len() / width, w.len() / width);
    let mut result = vec![0f32; out * time];
    let lines = Parts::of(&mut result);
    threads::global().run(out.div_ceil(COLUMNS), &|task| {
        let first = task * COLUMNS;
        let rows = COLUMNS.min(out - first);
        let w = &w[first * width..(first + rows) * width];
        // SAFETY: tasks have disjoint rows of the weight, so their lines do not overlap.
        let result = unsafe { lines.part(first * time, rows * time) };
        simd::on_widest_unit(Panel { x, w, width, result });
    });
    result
}

// [rows, columns] -> [columns, rows]
fn transpose(values: Vec<f32>, rows: usize, columns: usize) -> Vec<f32> {
    if columns <= 1 {
        return values;
    }
    let mut turned = vec![0f32; values.len()];
    for (row, line) in values.chunks(columns).enumerate() {
        for (column, value) in line.iter().enumerate() {
            turned[column * rows + row] = *value;
        }
    }
    turned
}

/// Some rows of the weight against all rows of x.
struct Panel<'a> {
    x: &'a [f32],
    w: &'a [f32],
    width: usize,
    /// `[rows of w, time]`
    result: &'a mut [f32],
}

impl Task for Panel<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Panel { x, w, width, result } = self;
        let time = x.len() / width;
        let quads = w.len() / width / TILE * TILE;
        for (block, result) in result.chunks_mut(TILE * time).enumerate() {
            let w = &w[block * TILE * width..];
            if block * TILE < quads {
                tiles::<FMA, TILE>(x, w, width, result);
            } else {
                for (row, result) in result.chunks_mut(time).enumerate() {
                    tiles::<FMA, 1>(x, &w[row * width..], width, result);
                }
            }
        }
    }
}

/// `C` rows of w against all rows of x, four of x at a time and the rest one by one.
#[inline(always)]
fn tiles<const FMA: bool, const C: usize>(x: &[f32], w: &[f32], width: usize, result: &mut [f32]) {
    let time = x.len() / width;
    let full = time / TILE * TILE;
    let w: [&[f32]; C] = std::array::from_fn(|c| &w[c * width..(c + 1) * width]);
    for t in (0..full).step_by(TILE) {
        let rows: [&[f32]; TILE] =
            std::array::from_fn(|r| &x[(t + r) * width..(t + r + 1) * width]);
        store(tile::<FMA, TILE, C>(rows, w), t, time, result);
    }
    for t in full..time {
        store(tile::<FMA, 1, C>([&x[t * width..(t + 1) * width]], w), t, time, result);
    }
}

#[inline(always)]
fn store<const R: usize, const C: usize>(
    tile: [[f32; C]; R],
    t: usize,
    time: usize,
    result: &mut [f32],
) {
    for (r, row) in tile.iter().enumerate() {
        for (c, value) in row.iter().enumerate() {
            result[c * time + t + r] = *value;
        }
    }
}

/// R×C dot products at once. Each sums exactly as [`simd::dot`] does: the tile only shares loads.
#[inline(always)]
fn tile<const FMA: bool, const R: usize, const C: usize>(
    x: [&[f32]; R],
    w: [&[f32]; C],
) -> [[f32; C]; R] {
    let x = x.map(|row| row.as_chunks::<LANES>());
    let w = w.map(|row| row.as_chunks::<LANES>());
    let mut lanes = [[[0f32; LANES]; C]; R];
    for k in 0..x[0].0.len() {
        for r in 0..R {
            for c in 0..C {
                let (a, b) = (&x[r].0[k], &w[c].0[k]);
                for i in 0..LANES {
                    lanes[r][c][i] = simd::multiply_add::<FMA>(a[i], b[i], lanes[r][c][i]);
                }
            }
        }
    }
    for r in 0..R {
        for c in 0..C {
            for ((a, b), lane) in x[r].1.iter().zip(w[c].1).zip(&mut lanes[r][c]) {
                *lane = simd::multiply_add::<FMA>(*a, *b, *lane);
            }
        }
    }
    lanes.map(|row| row.map(simd::sum_lanes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn random(rows: usize, columns: usize, seed: u32) -> Tensor {
        let mut state = seed;
        let values: Vec<f32> = (0..rows * columns)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state as f32 / u32::MAX as f32 - 0.5
            })
            .collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    }

    #[test]
    fn agrees_with_candle_for_odd_shapes() {
        for (time, width, out) in [(1, 1, 1), (3, 17, 5), (8, 64, 33), (5, 100, 70), (4, 15, 4)] {
            let (x, w) = (random(time, width, 1), random(out, width, 2));
            let ours = linear(&x, &w).unwrap();
            let theirs = x.matmul(&w.t().unwrap()).unwrap();
            let gap = (ours - theirs).unwrap().abs().unwrap().max_all().unwrap();
            assert!(gap.to_scalar::<f32>().unwrap() < 1e-5, "{time}x{width}x{out}");
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others() {
        let (x, w) = (random(11, 83, 3), random(37, 83, 4));
        let together = linear(&x, &w).unwrap().to_vec2::<f32>().unwrap();
        for (t, row) in together.iter().enumerate() {
            let alone = linear(&x.narrow(0, t, 1).unwrap(), &w).unwrap().to_vec2::<f32>().unwrap();
            assert_eq!(&alone[0], row, "row {t}");
        }
    }
}
