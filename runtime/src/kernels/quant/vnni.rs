//! One group of output rows with AVX-512 VNNI: `vpdpbusd` multiplies 64 unsigned by 64 signed bytes and adds them in
//! fours, so one instruction is four inputs of 16 rows, and no sum ever crosses lanes.
#![allow(unsafe_code)] // CPU intrinsics; each block says why it is sound

use super::activations::Activations;
use super::tiles::{Line, Tiles};
use super::{BATCH, BLOCK, Grid, ROWS};
use std::arch::x86_64::{
    __m256i, __m512, __m512i, _mm256_loadu_si256, _mm512_and_si512, _mm512_cvtepi32_ps,
    _mm512_cvtph_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_load_si512, _mm512_mask_add_epi8,
    _mm512_mul_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_srli_epi16, _mm512_storeu_ps,
};

/// Four-input steps of a block.
const STEPS: usize = BLOCK / 4;

/// Whether this CPU has what [`group`] needs.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
}

// x [rows, in] -> the group's columns of the result
pub(super) fn group(tiles: &Tiles, group: usize, x: &Activations, result: &Grid) {
    let job = Job { tiles, group, x, result };
    let full = x.rows() / BATCH * BATCH;
    for t in (0..full).step_by(BATCH) {
        // SAFETY: `Kernel::best` gives this path only where `is_available` saw the features it is compiled for.
        unsafe { job.rows::<BATCH>(t) };
    }
    // SAFETY: as above.
    unsafe {
        match x.rows() - full {
            0 => {}
            1 => job.rows::<1>(full),
            2 => job.rows::<2>(full),
            3 => job.rows::<3>(full),
            4 => job.rows::<4>(full),
            _ => job.rows::<5>(full),
        }
    }
}

/// One group against all rows of activations.
struct Job<'a> {
    tiles: &'a Tiles,
    group: usize,
    x: &'a Activations,
    result: &'a Grid<'a>,
}

impl Job<'_> {
    /// `T` rows of activations from `first` on. Each row's sum runs over the blocks in order, whatever `T` is.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn rows<const T: usize>(&self, first: usize) {
        let Job { tiles, group, x, result } = *self;
        let format = tiles.format();
        let rows: [_; T] = std::array::from_fn(|t| x.row(first + t));
        let mut sums = [_mm512_setzero_ps(); T];
        let (scales, minima) = (tiles.scales(group), tiles.minima(group));
        let lines = tiles.quants(group).chunks_exact(format.lines());
        for (block, lines) in lines.enumerate().take(tiles.blocks()) {
            let quants = unpack(lines);
            let scale = widen(&scales[block]);
            let minimum = minima.get(block).map(|m| widen(m));
            for t in 0..T {
                let (a, a_scale, a_sum) = (&rows[t].0[block], rows[t].1[block], rows[t].2[block]);
                let mut dot = _mm512_set1_epi32(-format.zero_point() * a_sum);
                for step in 0..STEPS {
                    let four = i32::from_le_bytes(std::array::from_fn(|j| a[4 * step + j] as u8));
                    dot = _mm512_dpbusd_epi32(dot, quants[step], _mm512_set1_epi32(four));
                }
                let scale = _mm512_mul_ps(scale, _mm512_set1_ps(a_scale));
                sums[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, sums[t]);
                if let Some(minimum) = minimum {
                    let a_sum = _mm512_set1_ps(a_sum as f32 * a_scale);
                    sums[t] = _mm512_fmadd_ps(minimum, a_sum, sums[t]);
                }
            }
        }
        for (t, sum) in sums.into_iter().enumerate() {
            let mut lanes = [0f32; ROWS];
            // SAFETY: `lanes` is 16 floats, the width of the store, which needs no alignment.
            unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), sum) };
            result.put(first + t, group, &lanes);
        }
    }
}

/// The eight four-input steps of a tile as unsigned bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn unpack(tile: &[Line]) -> [__m512i; STEPS] {
    if tile.len() == STEPS {
        return std::array::from_fn(|step| load(&tile[step]));
    }
    let nibble = _mm512_set1_epi8(15);
    let mut steps = [_mm512_set1_epi8(0); STEPS];
    for g in 0..STEPS / 2 {
        let both = load(&tile[g]);
        steps[g] = _mm512_and_si512(both, nibble);
        steps[g + STEPS / 2] = _mm512_and_si512(_mm512_srli_epi16::<4>(both), nibble);
    }
    if let Some(fifth) = tile.get(4) {
        let sixteen = _mm512_set1_epi8(16);
        for (step, mask) in steps.iter_mut().zip(fifth.0.as_chunks::<8>().0) {
            let mask = u64::from_le_bytes(*mask);
            *step = _mm512_mask_add_epi8(*step, mask, *step, sixteen);
        }
    }
    steps
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn load(line: &Line) -> __m512i {
    // SAFETY: a `Line` is 64 bytes aligned to 64, exactly what the load reads.
    unsafe { _mm512_load_si512(line.0.as_ptr().cast()) }
}

/// Sixteen f16 as f32.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn widen(halves: &[u16; ROWS]) -> __m512 {
    // SAFETY: sixteen u16 are the 32 bytes the load reads; it needs no alignment.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(halves.as_ptr().cast::<__m256i>()) })
}
