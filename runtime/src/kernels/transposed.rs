//! Product of a transposed matrix with vectors over its rows, one summation order for any number of vectors and threads.
#![allow(unsafe_code)] // tasks write disjoint parts of one result; the block says why it is sound

use super::pool::{self, Parts};
use super::quant::Matrix;
use super::simd::{self, Task};

/// Rows of the matrix whose products are summed by one task. A constant, because sums are grouped by it.
const CHUNK: usize = 512;
/// Vectors that share one reading of the matrix.
const BATCH: usize = 16;

/// The rows of a matrix `[out, in]`, in f32.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    /// `[out, in]`
    Dense(&'a [f32]),
    /// Each is dequantised when it is read.
    Tiled(&'a Matrix),
}

/// Sums `g[r] · row r`: chunk by chunk from the first row to the last, then over the chunks in order.
// rows [out, in], g [n, out] -> [n, in]
pub(crate) fn product(rows: Rows, g: &[f32], (out, width): (usize, usize)) -> Vec<f32> {
    g.chunks(BATCH * out).flat_map(|g| batch(rows, g, (out, width))).collect()
}

// rows [out, in], g [n, out] of at most BATCH vectors -> [n, in]
fn batch(rows: Rows, g: &[f32], (out, width): (usize, usize)) -> Vec<f32> {
    let size = g.len() / out * width;
    let chunks = out.div_ceil(CHUNK);
    let mut partial = vec![0f32; chunks * size];
    let parts = Parts::of(&mut partial);
    pool::global().run(chunks, &|chunk| {
        // SAFETY: every task has the part of its own chunk.
        let sums = unsafe { parts.part(chunk * size, size) };
        let first = chunk * CHUNK;
        let range = first..out.min(first + CHUNK);
        simd::on_widest_unit(Chunk { rows, g, range, out, width, sums });
    });
    let mut sums = vec![0f32; size];
    for part in partial.chunks(size) {
        sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
    }
    sums
}

/// The sums over some rows.
struct Chunk<'a> {
    rows: Rows<'a>,
    /// `[n, out]`
    g: &'a [f32],
    range: std::ops::Range<usize>,
    out: usize,
    width: usize,
    /// `[n, in]`
    sums: &'a mut [f32],
}

impl Task for Chunk<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Chunk { rows, g, range, out, width, sums } = self;
        let mut buffer = vec![0f32; width];
        for r in range {
            // Vectors over the vocabulary are mostly zero. A sum that begins at +0 is never -0, so this changes no bit.
            if g.iter().skip(r).step_by(out).all(|g| *g == 0.0) {
                continue;
            }
            let row = match rows {
                Rows::Dense(all) => &all[r * width..(r + 1) * width],
                Rows::Tiled(matrix) => {
                    matrix.read_row(r, &mut buffer);
                    &buffer
                }
            };
            for (g, sums) in g.chunks(out).zip(sums.chunks_mut(width)) {
                for (sum, x) in sums.iter_mut().zip(row) {
                    *sum = simd::multiply_add::<FMA>(g[r], *x, *sum);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::arena::Arena;
    use candle_core::quantized::{GgmlDType, QTensor};
    use candle_core::{Device, Tensor};

    const WIDTH: usize = 256;
    /// Two chunks and a part of a third, and not a whole tile.
    const OUT: usize = 2 * CHUNK + 37;

    fn wave(n: usize, pace: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * pace).sin()).collect()
    }

    fn gap(a: &[f32], b: &[f32]) -> f32 {
        let most = b.iter().fold(0f32, |m, v| m.max(v.abs()));
        a.iter().zip(b).fold(0f32, |m, (a, b)| m.max((a - b).abs())) / most
    }

    /// 19 vectors, more than share a reading; one of them is sparse.
    fn vectors() -> Vec<f32> {
        let mut g = wave(19 * OUT, 0.311);
        g[..OUT].iter_mut().enumerate().for_each(|(i, g)| *g *= f32::from(i % 100 == 3));
        g
    }

    fn check(rows: Rows, dense: &Tensor, name: &str) {
        let g = vectors();
        let together = product(rows, &g, (OUT, WIDTH));
        let expected = Tensor::from_slice(&g, (19, OUT), &Device::Cpu).unwrap();
        let expected = expected.matmul(dense).unwrap().flatten_all().unwrap();
        assert!(gap(&together, &expected.to_vec1::<f32>().unwrap()) < 1e-5, "{name}");
        for (g, row) in g.chunks(OUT).zip(together.chunks(WIDTH)) {
            assert_eq!(product(rows, g, (OUT, WIDTH)), row, "{name}");
        }
    }

    #[test]
    fn every_format_gives_the_dequantised_product_and_a_vector_the_same_bits_in_any_batch() {
        let dense = Tensor::from_vec(wave(OUT * WIDTH, 0.737), (OUT, WIDTH), &Device::Cpu).unwrap();
        let values = dense.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        check(Rows::Dense(&values), &dense, "dense");
        for dtype in [
            GgmlDType::Q4_0,
            GgmlDType::Q4_1,
            GgmlDType::Q5_0,
            GgmlDType::Q5_1,
            GgmlDType::Q8_0,
            GgmlDType::Q2K,
            GgmlDType::Q3K,
            GgmlDType::Q4K,
            GgmlDType::Q5K,
            GgmlDType::Q6K,
        ] {
            let q = QTensor::quantize(&dense, dtype).unwrap();
            let parts = [&*q.data().unwrap()];
            let matrix = Matrix::pack(&mut Arena::default(), dtype, &parts, WIDTH).unwrap();
            let dequantised = q.dequantize(&Device::Cpu).unwrap();
            check(Rows::Tiled(&matrix), &dequantised, &format!("{dtype:?}"));
        }
    }
}
