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
#[cfg(target_arch = "x86_64")]
mod isa;
mod k;
mod matrix;
mod portable;
mod tiles;
#[cfg(target_arch = "x86_64")]
mod vnni;

pub(crate) use activations::Activations;
pub(crate) use matrix::Matrix;

use super::output_columns::{Columns, Write};
use super::prologue::Prologue;
use super::threads::{self, Parts};
use super::values;
#[cfg(target_arch = "x86_64")]
use super::wide::Vnni;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
#[cfg(target_arch = "x86_64")]
use isa::Unit;
use std::ops::Range;

/// Output rows in a tile.
const ROWS: usize = 16;
/// Inputs in a tile: the block of every format here.
const BLOCK: usize = 32;
/// Activation rows that share one unpacked tile.
const BATCH: usize = 6;
/// Weight bytes times bunches of rows that a short task should have: with less, starting it costs more than it gives.
const TASK_BYTES: usize = 8 << 10;
/// Part of a matrix in long runs.
const LONG_PERCENT: usize = 70;

/// How finely activations are rounded before a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fidelity {
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

/// A product's input: rows as the caller has them, what is done to each first, and how finely they are rounded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    /// `[time, input width]`
    pub values: &'a [f32],
    pub prologue: Prologue<'a>,
    pub fidelity: Fidelity,
}

impl Matrix {
    // x [time, in] -> out [time, columns]
    pub(crate) fn multiply(&self, x: &Activations, out: Columns) -> Result<()> {
        if x.width() != self.width() || !out.hold(x.time(), self.out()) {
            let (time, width) = (x.time(), x.width());
            candle_core::bail!("product of {time} rows of width {width} with {}", self.width());
        }
        self.product(x, Kernel::best(), &Grid::new(out, self.out(), x.fidelity()));
        Ok(())
    }
}

// x [time, input width] · weight [out, in] -> [time, out], after the prologue
pub(crate) fn linear(
    x: &Tensor,
    weight: &Matrix,
    prologue: Prologue,
    fidelity: Fidelity,
) -> Result<Tensor> {
    x.contiguous()?.apply_op1_no_bwd(&Linear { weight, prologue, fidelity })
}

struct Linear<'a> {
    weight: &'a Matrix,
    prologue: Prologue<'a>,
    fidelity: Fidelity,
}

impl CustomOp1 for Linear<'_> {
    fn name(&self) -> &'static str {
        "tiles"
    }

    // x [time, input width] -> [time, out]
    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (time, _) = layout.shape().dims2()?;
        let Linear { weight, prologue, fidelity } = *self;
        let mut quants = Activations::default();
        quants
            .quantise(Input { values: values(x, layout)?, prologue, fidelity }, weight.width())?;
        let mut out = vec![0f32; time * weight.out()];
        weight.multiply(&quants, Columns::all(&mut out, weight.out()))?;
        Ok((CpuStorage::F32(out), Shape::from((time, weight.out()))))
    }
}

/// The instruction set a product runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernel {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(isa::Avx2),
    #[cfg(target_arch = "x86_64")]
    AvxVnni(isa::AvxVnni),
    /// AVX-VNNI's path with the instruction of AVX-512.
    #[cfg(all(test, target_arch = "x86_64"))]
    Avx512Vl(isa::Avx512Vl),
    #[cfg(target_arch = "x86_64")]
    Vnni(Vnni),
}

/// The instruction set that quantised products run on here.
pub(crate) fn instruction_set() -> &'static str {
    match Kernel::best() {
        Kernel::Portable => "portable",
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2(_) => "avx2",
        #[cfg(target_arch = "x86_64")]
        Kernel::AvxVnni(_) => "avx-vnni",
        #[cfg(all(test, target_arch = "x86_64"))]
        Kernel::Avx512Vl(_) => "avx512-vl",
        #[cfg(target_arch = "x86_64")]
        Kernel::Vnni(_) => "avx512-vnni",
    }
}

impl Kernel {
    fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let best = Vnni::detect().map(Kernel::Vnni);
            let best = best.or_else(|| isa::AvxVnni::detect().map(Kernel::AvxVnni));
            let best = best.or_else(|| isa::Avx2::detect().map(Kernel::Avx2));
            best.unwrap_or(Kernel::Portable)
        }
        #[cfg(not(target_arch = "x86_64"))]
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
            kernels.extend(isa::Avx2::detect().map(Kernel::Avx2));
            kernels.extend(isa::AvxVnni::detect().map(Kernel::AvxVnni));
            kernels.extend(isa::Avx512Vl::detect().map(Kernel::Avx512Vl));
            kernels.extend(Vnni::detect().map(Kernel::Vnni));
        }
        kernels
    }
}

impl Matrix {
    // x [rows, in] -> result [rows, out]
    fn product(&self, x: &Activations, kernel: Kernel, result: &Grid) {
        let shares = Shares::of(self.groups(), self.bytes(), x.rows());
        threads::global().run(shares.tasks(), &|task| {
            for group in shares.groups(task) {
                // SAFETY: every group belongs to one task.
                self.group(kernel, x, &mut unsafe { result.group(group) });
            }
        });
    }
}

/// How the groups of a matrix are shared out: a long run for every thread first, which streams, then short ones, so
/// that all end together.
struct Shares {
    groups: usize,
    runs: usize,
    long: usize,
    short: usize,
}

impl Shares {
    fn of(groups: usize, bytes: usize, rows: usize) -> Self {
        let runs = threads::global().threads();
        let work = bytes.div_ceil(groups.max(1)).max(1) * rows.div_ceil(BATCH).max(1);
        let least = groups.div_ceil(threads::MOST_TASKS / 2).max(1);
        let short = TASK_BYTES.div_ceil(work).clamp(least, groups.div_ceil(runs).max(least));
        Shares { groups, runs, long: groups * LONG_PERCENT / 100 / runs, short }
    }

    fn tasks(&self) -> usize {
        self.runs + (self.groups - self.runs * self.long).div_ceil(self.short)
    }

    fn groups(&self, task: usize) -> Range<usize> {
        if task < self.runs {
            return task * self.long..(task + 1) * self.long;
        }
        let from = self.runs * self.long + (task - self.runs) * self.short;
        from..(from + self.short).min(self.groups)
    }
}

/// The columns of one group of output rows.
struct GroupColumns<'a> {
    grid: &'a Grid<'a>,
    group: usize,
}

/// The result `[time, stride]`, of which every task writes the columns of its own groups.
struct Grid<'a> {
    values: Parts<'a, f32>,
    stride: usize,
    from: usize,
    out: usize,
    fidelity: Fidelity,
    write: Write,
}

impl<'a> Grid<'a> {
    fn new(columns: Columns<'a>, out: usize, fidelity: Fidelity) -> Self {
        let Columns { values, stride, from, write } = columns;
        Grid { values: Parts::of(values), stride, from, out, fidelity, write }
    }

    /// The columns of a group.
    ///
    /// # Safety
    /// A group's columns must not be written by two tasks.
    unsafe fn group(&'a self, group: usize) -> GroupColumns<'a> {
        GroupColumns { grid: self, group }
    }
}

impl GroupColumns<'_> {
    /// Writes the group's outputs of one quantised row; those past the matrix are padding and dropped.
    fn put(&mut self, row: usize, sums: &[f32; ROWS]) {
        let Grid { values, stride, from: first, out, fidelity, write: how } = self.grid;
        let from = self.group * ROWS;
        let count = ROWS.min(out - from);
        // A division would take longer than all the rest of this function.
        let (time, pass) = match fidelity {
            Fidelity::Once => (row, 0),
            Fidelity::Twice => (row / 2, row % 2),
        };
        // SAFETY: these columns are this value's alone, as was promised when it was made, and it is borrowed mutably.
        let part = unsafe { values.part(time * stride + first + from, count) };
        let how = if pass > 0 { Write::Add } else { *how };
        match part.as_chunks_mut::<ROWS>().0 {
            // All but a matrix's last group: a length the compiler knows.
            [part] => write(part, sums, how),
            _ => write(part, sums, how),
        }
    }
}

#[inline(always)]
fn write(part: &mut [f32], sums: &[f32; ROWS], how: Write) {
    for (value, sum) in part.iter_mut().zip(sums) {
        *value = match how {
            Write::Set => *sum,
            Write::Add => *value + sum,
        };
    }
}

#[cfg(test)]
impl Matrix {
    fn of(q: &candle_core::quantized::QTensor) -> Matrix {
        let (_, width) = q.shape().dims2().unwrap();
        let mut arena = crate::kernels::arena::Arena::default();
        Matrix::pack(&mut arena, q.dtype(), &[&q.data().unwrap()], width).unwrap()
    }

    // -> [width]
    fn row(&self, row: usize) -> Vec<f32> {
        let mut values = vec![0f32; self.width()];
        self.read_row(row, &mut values);
        values
    }

    // x [rows, in] -> [rows, out]
    fn with_kernel(&self, x: &Activations, kernel: Kernel) -> Vec<f32> {
        let mut out = vec![0f32; x.rows() * self.out()];
        let columns = Columns::all(&mut out, self.out());
        self.product(x, kernel, &Grid::new(columns, self.out(), x.fidelity()));
        out
    }
}

#[cfg(test)]
impl Activations {
    // values [time, width], rounded once
    fn of(values: &[f32], width: usize) -> Activations {
        let mut quants = Activations::default();
        let (prologue, fidelity) = (Prologue::None, Fidelity::Once);
        quants.quantise(Input { values, prologue, fidelity }, width).unwrap();
        quants
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::arena::Arena;
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
            let tiles = Matrix::of(&q);
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
            let tiles = Matrix::of(&q);
            let x = wave(time, width, 1.313, 2f32.powi(power));
            let ours = linear(&x, &tiles, Prologue::None, Fidelity::Once).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            // The same int8 activations, multiplied as floats: only the order of f32 sums differs.
            let host = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let quants = Activations::of(&host, width);
            let rounded = quants.dequantise();
            let rounded = Tensor::from_vec(rounded, (time, width), &Device::Cpu).unwrap();
            let dense = q.dequantize(&Device::Cpu).unwrap().t().unwrap();
            let exact = rounded.matmul(&dense).unwrap();
            let exact = exact.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            prop_assert!(relative_gap(&ours, &exact) < 2e-5, "{dtype:?}");
            for kernel in Kernel::all() {
                let other = tiles.with_kernel(&quants, kernel);
                prop_assert!(relative_gap(&ours, &other) < 2e-6, "{dtype:?} {kernel:?}");
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others() {
        for dtype in FORMATS {
            let q = quantised(dtype, 40, 288, 1.0);
            let tiles = Matrix::of(&q);
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
        let tiles = Matrix::of(&q);
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
        let tiles = Matrix::of(&q);
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
    fn every_group_has_one_task() {
        for groups in [1, 2, 3, 36, 60, 192, 3072, 70_000] {
            for rows in [1, 6, 16, 512] {
                let shares = Shares::of(groups, groups * 5760, rows);
                let shared: Vec<usize> =
                    (0..shares.tasks()).flat_map(|task| shares.groups(task)).collect();
                assert!(shared.into_iter().eq(0..groups), "{groups} groups, {rows} rows");
                assert!(shares.tasks() <= threads::MOST_TASKS);
            }
        }
    }

    #[test]
    fn blocks_that_do_not_fill_the_matrix_are_refused() {
        let pack = |bytes: &[u8], width| {
            Matrix::pack(&mut Arena::default(), GgmlDType::Q4_1, &[bytes], width)
        };
        assert!(pack(&[0; 19], 32).is_err());
        assert!(pack(&[0; 20], 31).is_err());
        assert!(pack(&[], 32).is_err());
        assert!(pack(&[0; 20], 32).is_ok());
        let k = Matrix::pack(&mut Arena::default(), GgmlDType::Q4K, &[&[0; 144]], 128);
        assert!(k.is_err());
    }

    #[test]
    fn stacked_matrices_are_their_rows_one_after_another() {
        for (dtype, row_bytes) in [(GgmlDType::Q5_1, 8 * 24), (GgmlDType::Q5K, 176)] {
            let q = quantised(dtype, 53, 256, 1.0);
            let bytes = q.data().unwrap();
            let parts = bytes.split_at(39 * row_bytes);
            let pack = |parts: &[&[u8]]| Matrix::pack(&mut Arena::default(), dtype, parts, 256);
            let (whole, stacked) = (pack(&[&bytes]).unwrap(), pack(&[parts.0, parts.1]).unwrap());
            assert_eq!(stacked.out(), 53);
            assert!((0..53).all(|i| whole.row(i) == stacked.row(i)), "{dtype:?}");
        }
    }
}
