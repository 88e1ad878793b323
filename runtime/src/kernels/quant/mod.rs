//! Products with weights that stay in their 2 to 8 bits.
//!
//! Weights are repacked once into tiles of 16 output rows × 32 inputs ([`tiles`], and [`k`] for super-blocks), about as
//! small as the file's own blocks; a [`Matrix`] is of either kind. Activations are quantised to int8 once per row
//! ([`activations`]). A tile's dot products are exact integers; the scaled sums of a row's blocks are added from the
//! first to the last, so a result's bits depend neither on the other rows of the pass nor on the thread. Which
//! instruction set does it is chosen at run time: [`vnni`] where the CPU has AVX-512 VNNI, else [`avx2`] with or without
//! AVX-VNNI ([`unit`]), else [`portable`], which is also the reference the tests compare with.

#![allow(unsafe_code)] // tasks write disjoint columns of one result; each block says why it is sound

mod activations;
#[cfg(target_arch = "x86_64")]
mod avx2;
mod k;
mod matrix;
mod portable;
mod tiles;
#[cfg(target_arch = "x86_64")]
mod unit;
#[cfg(target_arch = "x86_64")]
mod vnni;

pub(crate) use matrix::Matrix;

use super::pool::{self, Parts};
use super::prologue::Prologue;
use super::values;
use activations::{Activations, Source};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
#[cfg(target_arch = "x86_64")]
use unit::Unit;

/// Output rows in a tile.
const ROWS: usize = 16;
/// Inputs in a tile: the block of every format here.
const BLOCK: usize = 32;
/// Activation rows that share one unpacked tile.
const BATCH: usize = 6;
/// Weight bytes a task should have: less, and starting it costs more than it gives.
const TASK_BYTES: usize = 48 << 10;

/// How finely activations are rounded before a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fidelity {
    /// To int8, once.
    #[default]
    Once,
    /// To int8, and what that leaves to int8 again: sixteen bits in all, for the output head. Its error goes straight
    /// into the logits (on the default model a third of the divergence from f32), and while decoding the second
    /// product finds the weights in the cache.
    Twice,
}

impl Fidelity {
    /// Quantised rows per row.
    fn rows(self) -> usize {
        match self {
            Fidelity::Once => 1,
            Fidelity::Twice => 2,
        }
    }
}

// x [time, input width] · weight [out, in] -> [time, out], after the prologue
pub(crate) fn linear(
    x: &Tensor,
    weight: &Matrix,
    prologue: Prologue,
    fidelity: Fidelity,
) -> Result<Tensor> {
    x.contiguous()?.apply_op1_no_bwd(&Product { weight, prologue, fidelity })
}

struct Product<'a> {
    weight: &'a Matrix,
    prologue: Prologue<'a>,
    fidelity: Fidelity,
}

impl CustomOp1 for Product<'_> {
    fn name(&self) -> &'static str {
        "tiles"
    }

    // x [time, input width] -> [time, out]
    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (time, input_width) = layout.shape().dims2()?;
        let (out, width) = (self.weight.out(), self.weight.width());
        if input_width != self.prologue.input_width(width) {
            candle_core::bail!("product of widths {input_width} and {width}");
        }
        let (values, prologue, fidelity) = (values(x, layout)?, self.prologue, self.fidelity);
        let x = Activations::quantise(Source { values, prologue, width, fidelity });
        let product = self.weight.product(&x, Kernel::best());
        let product = match fidelity {
            Fidelity::Once => product,
            Fidelity::Twice => product.chunks(2 * out).flat_map(pair_sums).collect(),
        };
        Ok((CpuStorage::F32(product), Shape::from((time, out))))
    }
}

// [2, out] -> [out]
fn pair_sums(pair: &[f32]) -> impl Iterator<Item = f32> + '_ {
    let (rounded, remainder) = pair.split_at(pair.len() / 2);
    rounded.iter().zip(remainder).map(|(a, b)| a + b)
}

/// The instruction set a product runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernel {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// AVX-VNNI's path with the instruction of AVX-512.
    #[cfg(all(test, target_arch = "x86_64"))]
    Avx512Vl,
    #[cfg(target_arch = "x86_64")]
    Vnni,
}

impl Kernel {
    fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if vnni::is_available() {
                return Kernel::Vnni;
            }
            if unit::AvxVnni::is_available() {
                return Kernel::AvxVnni;
            }
            if unit::Avx2::is_available() {
                return Kernel::Avx2;
            }
        }
        Kernel::Portable
    }
}

#[cfg(test)]
impl Kernel {
    /// Every kernel this CPU can run.
    fn all() -> Vec<Kernel> {
        let mut kernels = vec![Kernel::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            kernels.extend(unit::Avx2::is_available().then_some(Kernel::Avx2));
            kernels.extend(unit::AvxVnni::is_available().then_some(Kernel::AvxVnni));
            kernels.extend(unit::Avx512Vl::is_available().then_some(Kernel::Avx512Vl));
            kernels.extend(vnni::is_available().then_some(Kernel::Vnni));
        }
        kernels
    }
}

impl Matrix {
    // x [rows, in] -> [rows, out]
    fn product(&self, x: &Activations, kernel: Kernel) -> Vec<f32> {
        let mut product = vec![0f32; x.rows() * self.out()];
        let share = TASK_BYTES.div_ceil(self.bytes().div_ceil(self.groups().max(1)).max(1));
        let share = share.clamp(1, self.groups().div_ceil(pool::global().threads()).max(1));
        let result = Grid { values: Parts::of(&mut product), out: self.out() };
        pool::global().run(self.groups().div_ceil(share), &|task| {
            for group in task * share..((task + 1) * share).min(self.groups()) {
                self.group(kernel, group, x, &result);
            }
        });
        product
    }
}

/// The result `[rows, out]`, of which every task writes the columns of its own groups.
struct Grid<'a> {
    values: Parts<'a, f32>,
    out: usize,
}

impl Grid<'_> {
    /// Writes one group's outputs of one row; those past the matrix are padding and dropped.
    fn put(&self, row: usize, group: usize, sums: &[f32; ROWS]) {
        let from = group * ROWS;
        let count = ROWS.min(self.out - from);
        // SAFETY: a group belongs to one task and is written once per row, so no two parts overlap.
        let part = unsafe { self.values.part(row * self.out + from, count) };
        part.copy_from_slice(&sums[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use candle_core::quantized::{GgmlDType, QTensor};
    use proptest::prelude::*;

    const FORMATS: [GgmlDType; 5] =
        [GgmlDType::Q4_0, GgmlDType::Q4_1, GgmlDType::Q5_0, GgmlDType::Q5_1, GgmlDType::Q8_0];

    fn wave(rows: usize, columns: usize, pace: f32, size: f32) -> Tensor {
        let values: Vec<f32> =
            (0..rows * columns).map(|i| size * (i as f32 * pace).sin() + 0.1 * size).collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    }

    fn quantised(dtype: GgmlDType, out: usize, width: usize, size: f32) -> QTensor {
        QTensor::quantize(&wave(out, width, 0.737, size), dtype).unwrap()
    }

    fn relative_gap(a: &[f32], b: &[f32]) -> f32 {
        let most = b.iter().fold(0f32, |m, v| m.max(v.abs()));
        let gap = a.iter().zip(b).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        if most == 0.0 { gap } else { gap / most }
    }

    #[test]
    fn tiles_hold_the_values_candle_dequantises() {
        for dtype in FORMATS {
            let q = quantised(dtype, 21, 96, 1.0);
            let tiles = Matrix::pack(dtype, &q.data().unwrap(), 21, 96).unwrap();
            let expected = q.dequantize(&Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
            for (i, row) in expected.iter().enumerate() {
                assert!(relative_gap(&tiles.row(i), row) < 1e-6, "{dtype:?} row {i}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn every_kernel_agrees_with_the_dequantised_product(
            time in 1..15usize, out in 1..70usize, blocks in 1..6usize,
            pick in 0..5usize, power in -20..20i32,
        ) {
            let dtype = FORMATS[pick];
            let (width, size) = (blocks * BLOCK, 2f32.powi(power / 2));
            let q = quantised(dtype, out, width, size);
            let tiles = Matrix::pack(dtype, &q.data().unwrap(), out, width).unwrap();
            let x = wave(time, width, 1.313, 2f32.powi(power));
            let ours = linear(&x, &tiles, Prologue::None, Fidelity::Once).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            // The same int8 activations, multiplied as floats: only the order of f32 sums differs.
            let host = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let source = Source {
                values: &host,
                prologue: Prologue::None,
                width,
                fidelity: Fidelity::Once,
            };
            let rounded = Activations::quantise(source).dequantise();
            let rounded = Tensor::from_vec(rounded, (time, width), &Device::Cpu).unwrap();
            let dense = q.dequantize(&Device::Cpu).unwrap().t().unwrap();
            let exact = rounded.matmul(&dense).unwrap();
            let exact = exact.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            prop_assert!(relative_gap(&ours, &exact) < 2e-5, "{dtype:?}");
            let x = Activations::quantise(source);
            for kernel in Kernel::all() {
                let other = tiles.product(&x, kernel);
                prop_assert!(relative_gap(&ours, &other) < 2e-6, "{dtype:?} {kernel:?}");
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others() {
        for dtype in FORMATS {
            let q = quantised(dtype, 40, 288, 1.0);
            let tiles = Matrix::pack(dtype, &q.data().unwrap(), 40, 288).unwrap();
            let x = wave(17, 288, 1.313, 3.0);
            let together = linear(&x, &tiles, Prologue::None, Fidelity::Once)
                .unwrap()
                .to_vec2::<f32>()
                .unwrap();
            for (t, row) in together.iter().enumerate() {
                let alone =
                    linear(&x.narrow(0, t, 1).unwrap(), &tiles, Prologue::None, Fidelity::Once)
                        .unwrap();
                assert_eq!(&alone.to_vec2::<f32>().unwrap()[0], row, "{dtype:?} row {t}");
            }
        }
    }

    #[test]
    fn rounding_twice_is_a_hundred_times_finer() {
        let q = quantised(GgmlDType::Q8_0, 40, 288, 1.0);
        let tiles = Matrix::pack(GgmlDType::Q8_0, &q.data().unwrap(), 40, 288).unwrap();
        let x = wave(3, 288, 1.313, 3.0);
        let exact = x.matmul(&q.dequantize(&Device::Cpu).unwrap().t().unwrap()).unwrap();
        let flat = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let exact = flat(exact);
        let gap = |f| relative_gap(&flat(linear(&x, &tiles, Prologue::None, f).unwrap()), &exact);
        assert!(gap(Fidelity::Twice) * 100.0 < gap(Fidelity::Once));
    }

    #[test]
    fn extreme_activations_stay_finite_or_say_so() {
        let q = quantised(GgmlDType::Q4_1, 16, 32, 1.0);
        let tiles = Matrix::pack(GgmlDType::Q4_1, &q.data().unwrap(), 16, 32).unwrap();
        let product = |value: f32| {
            let x = Tensor::from_vec(vec![value; 32], (1, 32), &Device::Cpu).unwrap();
            linear(&x, &tiles, Prologue::None, Fidelity::Once)
                .unwrap()
                .to_vec2::<f32>()
                .unwrap()
                .remove(0)
        };
        assert!(product(0.0).iter().all(|v| *v == 0.0));
        for denormal in [1e-40, -1e-44] {
            assert!(product(denormal).iter().all(|v| v.is_finite() && v.abs() < 1e-36));
        }
        assert!(product(1e30).iter().all(|v| v.is_finite()));
        assert!(product(f32::NAN).iter().all(|v| v.is_nan()));
        assert!(product(f32::INFINITY).iter().all(|v| !v.is_finite()));
    }

    #[test]
    fn blocks_that_do_not_fill_the_matrix_are_refused() {
        assert!(Matrix::pack(GgmlDType::Q4_1, &[0; 19], 1, 32).is_none());
        assert!(Matrix::pack(GgmlDType::Q4_1, &[0; 20], 1, 31).is_none());
        assert!(Matrix::pack(GgmlDType::Q4_1, &[0; 20], 1, 32).is_some());
    }
}
