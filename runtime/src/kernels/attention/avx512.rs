//! Scores and weighted sums with AVX-512: a tile of sums stays in registers while keys or values stream by, and one
//! load feeds every row of the tile. The order of every sum is that of [`lanes`](super::lanes).
#![allow(unsafe_code)] // CPU intrinsics; each block says why it is sound

use super::super::blocks::Stored;
use super::super::simd::LANES;
use super::scratch::{CHUNK, PANEL, Share, Start};
use crate::kernels::blocks::BLOCK_LEN;
use half::f16;
use std::arch::x86_64::{
    __m256i, __m512, _MM_HINT_T0, _mm_prefetch, _mm256_loadu_si256, _mm512_cvtph_ps,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
};

/// What a register can be filled with.
pub(super) trait Loaded: Stored {
    /// Sixteen values.
    ///
    /// # Safety
    /// The CPU has avx512f, and `from` points to sixteen values that may be read.
    unsafe fn load(from: *const Self) -> __m512;
}

impl Loaded for f32 {
    // SAFETY: nothing is read beyond what the trait lets callers promise.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load(from: *const f32) -> __m512 {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_ps(from) }
    }
}

impl Loaded for f16 {
    // SAFETY: nothing is read beyond what the trait lets callers promise.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load(from: *const f16) -> __m512 {
        // SAFETY: the caller's promise; sixteen f16 are 256 bits.
        _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(from.cast::<__m256i>()) })
    }
}

/// Scores of some rows with the keys of some blocks; what is read next is fetched from memory meanwhile.
// panel [dim / PANEL, rows, PANEL], keys [dim, BLOCK_LEN] per block -> scores [rows, CHUNK], from the first column on
#[target_feature(enable = "avx512f")]
pub(super) fn score<E: Loaded>(
    panel: &[f32],
    shape: (usize, usize),
    [keys, ahead]: [&[&[E]]; 2],
    scores: &mut [f32],
) {
    let (rows, dim) = shape;
    assert!(panel.len() >= dim.div_ceil(PANEL) * rows * PANEL, "every row has its query");
    assert!(keys.iter().all(|k| k.len() >= dim * BLOCK_LEN), "a block holds all its keys");
    let mut row = 0;
    while row < rows {
        let (panel, at) = (&panel[row * PANEL..], &mut scores[row * CHUNK..]);
        let job = Scores { panel, rows, dim, keys, ahead, at };
        // SAFETY: the asserts above, and no more rows are taken than are left.
        row += unsafe {
            match rows - row {
                12.. => job.rows::<12, 2>(),
                8.. => job.rows::<8, 3>(),
                6.. => job.rows::<6, 4>(),
                4.. => job.rows::<4, 4>(),
                3 => job.rows::<3, 4>(),
                2 => job.rows::<2, 4>(),
                _ => job.rows::<1, 4>(),
            }
        };
    }
}

/// Asks for a cache line. Blocks lie scattered, so the CPU cannot guess where the next one begins.
#[target_feature(enable = "sse")]
fn fetch<E>(at: *const E) {
    _mm_prefetch::<_MM_HINT_T0>(at.cast::<i8>());
}

struct Scores<'a, E> {
    panel: &'a [f32],
    rows: usize,
    dim: usize,
    keys: &'a [&'a [E]],
    /// Values of the same blocks.
    ahead: &'a [&'a [E]],
    at: &'a mut [f32],
}

impl<E: Loaded> Scores<'_, E> {
    /// R rows, K blocks at a time.
    ///
    /// # Safety
    /// `panel` holds R rows in every part; every block holds `dim` lines of sixteen keys.
    #[target_feature(enable = "avx512f")]
    unsafe fn rows<const R: usize, const K: usize>(mut self) -> usize {
        let whole = self.keys.len() - self.keys.len() % K;
        for first in (0..whole).step_by(K) {
            // SAFETY: the caller's promise; K blocks are left.
            unsafe { self.blocks::<R, K>(first) };
        }
        for first in whole..self.keys.len() {
            // SAFETY: the caller's promise; one block is left.
            unsafe { self.blocks::<R, 1>(first) };
        }
        R
    }

    /// # Safety
    /// That of `rows`; K blocks from `first` on exist.
    #[target_feature(enable = "avx512f")]
    unsafe fn blocks<const R: usize, const K: usize>(&mut self, first: usize) {
        let mut keys = [std::ptr::null::<E>(); K];
        let mut ahead = keys;
        for (i, (at, ahead)) in keys.iter_mut().zip(&mut ahead).enumerate() {
            *at = self.keys[first + i].as_ptr();
            *ahead = self.ahead.get(first + i).map_or(*at, |block| block.as_ptr());
        }
        let mut sums = [[_mm512_setzero_ps(); K]; R];
        // One loop over all parts of the panel: in two nested ones the sums would leave their registers.
        for d in 0..self.dim {
            let line = d / PANEL * self.rows * PANEL + d % PANEL;
            let mut lines = [_mm512_setzero_ps(); K];
            for (line, at) in lines.iter_mut().zip(keys) {
                // SAFETY: a block holds `dim` lines of sixteen keys.
                *line = unsafe { E::load(at.add(d * LANES)) };
            }
            for at in ahead {
                fetch(at.wrapping_add(d * LANES));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                // SAFETY: R rows of this part are in the panel.
                let q = unsafe { *self.panel.as_ptr().add(line + r * PANEL) };
                let q = _mm512_set1_ps(q);
                for (sum, line) in sums.iter_mut().zip(lines) {
                    *sum = _mm512_fmadd_ps(q, line, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            let at = self.at[r * CHUNK + first * LANES..].as_chunks_mut::<LANES>().0;
            for (sum, at) in sums.iter().zip(at) {
                // SAFETY: `at` is sixteen values.
                unsafe { _mm512_storeu_ps(at.as_mut_ptr(), *sum) };
            }
        }
    }
}

/// Adds values times weights to every row's sum; columns behind the last whole register are left out.
// share of rows × positions -> mixed [rows, dim]
#[target_feature(enable = "avx512f")]
pub(super) fn mix<E: Loaded>(share: &Share<E>, mixed: &mut [f32], dim: usize) {
    let Share { weights, values, ref positions, .. } = *share;
    let rows = mixed.len() / dim;
    assert!(weights.len() >= rows * CHUNK && positions.end <= CHUNK, "every row has its weights");
    assert!(values.iter().all(|v| v.len() >= dim * BLOCK_LEN), "a block holds all its values");
    assert!(positions.end <= values.len() * BLOCK_LEN, "every position has its block");
    let mut row = 0;
    while row < rows {
        let (weights, at) = (&weights[row * CHUNK..], &mut mixed[row * dim..]);
        let job = Mix { share: Share { weights, ..share.clone() }, at, dim };
        // SAFETY: the asserts above, and no more rows are taken than are left.
        row += unsafe {
            match rows - row {
                12.. => job.rows::<12, 2>(),
                8.. => job.rows::<8, 2>(),
                6.. => job.rows::<6, 4>(),
                4.. => job.rows::<4, 4>(),
                3 => job.rows::<3, 4>(),
                2 => job.rows::<2, 4>(),
                _ => job.rows::<1, 4>(),
            }
        };
    }
}

struct Mix<'a, E> {
    share: Share<'a, E>,
    at: &'a mut [f32],
    dim: usize,
}

impl<E: Loaded> Mix<'_, E> {
    /// R rows, D registers of columns at a time.
    ///
    /// # Safety
    /// `weights` and `at` hold R rows; every block that the positions touch holds `BLOCK_LEN` lines of `dim` values.
    #[target_feature(enable = "avx512f")]
    unsafe fn rows<const R: usize, const D: usize>(mut self) -> usize {
        let registers = self.dim / LANES;
        let whole = registers - registers % D;
        for first in (0..whole).step_by(D) {
            // SAFETY: the caller's promise; D registers are left.
            unsafe { self.columns::<R, D>(first * LANES) };
        }
        for first in whole..registers {
            // SAFETY: the caller's promise; one register is left.
            unsafe { self.columns::<R, 1>(first * LANES) };
        }
        R
    }

    /// # Safety
    /// That of `rows`; D registers of columns from `first` on exist.
    #[target_feature(enable = "avx512f")]
    unsafe fn columns<const R: usize, const D: usize>(&mut self, first: usize) {
        let mut sums = [[_mm512_setzero_ps(); D]; R];
        let mixed = self.at.as_mut_ptr();
        if self.share.start == Start::Sum {
            for (r, sums) in sums.iter_mut().enumerate() {
                for (i, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: the row's columns exist.
                    *sum = unsafe { _mm512_loadu_ps(mixed.add(r * self.dim + first + i * LANES)) };
                }
            }
        }
        let (mut line, mut ahead) = (std::ptr::null::<E>(), std::ptr::null::<E>());
        for position in self.share.positions.clone() {
            let inside = position % BLOCK_LEN;
            if inside == 0 || line.is_null() {
                let block = self.share.values[position / BLOCK_LEN];
                line = block[inside * self.dim + first..].as_ptr();
                let next = self.share.ahead.get(position / BLOCK_LEN).copied().unwrap_or_default();
                ahead = next.get(inside * self.dim + first..).map_or(line, <[E]>::as_ptr);
            }
            let mut lanes = [_mm512_setzero_ps(); D];
            for (i, lanes) in lanes.iter_mut().enumerate() {
                // SAFETY: the position's line is in its block, with these columns.
                *lanes = unsafe { E::load(line.add(i * LANES)) };
                fetch(ahead.wrapping_add(i * LANES));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                // SAFETY: every row has a weight for every position of the chunk.
                let weight = unsafe { *self.share.weights.as_ptr().add(r * CHUNK + position) };
                let weight = _mm512_set1_ps(weight);
                for (sum, lanes) in sums.iter_mut().zip(lanes) {
                    *sum = _mm512_fmadd_ps(weight, lanes, *sum);
                }
            }
            line = line.wrapping_add(self.dim);
            ahead = ahead.wrapping_add(self.dim);
        }
        for (r, sums) in sums.iter().enumerate() {
            for (i, sum) in sums.iter().enumerate() {
                // SAFETY: the row's columns exist.
                unsafe {
                    _mm512_storeu_ps(mixed.add(r * self.dim + first + i * LANES), *sum);
                }
            }
        }
    }
}
