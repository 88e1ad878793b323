//! One group of output rows with AVX-512 VNNI: `vpdpbusd` multiplies 64 unsigned by 64 signed bytes and adds them in
//! fours, so one instruction is four inputs of 16 rows, and no sum ever crosses lanes.
#![allow(unsafe_code)] // CPU intrinsics; each block says why it is sound

use super::activations::{Activations, Bunch};
use super::tiles::{Line, Tiles};
use super::{BATCH, BLOCK, Grid, ROWS};
use std::arch::x86_64::{
    __m256i, __m512, __m512i, _mm256_loadu_si256, _mm512_add_epi32, _mm512_and_si512,
    _mm512_cvtepi32_ps, _mm512_cvtph_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_load_si512,
    _mm512_mask_add_epi8, _mm512_mul_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_setzero_si512, _mm512_srli_epi16, _mm512_storeu_ps,
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
    let mut first = 0;
    while first < x.rows() {
        let (bunch, count) = x.bunch(first);
        let job = Job { tiles, group, bunch, first, result };
        // SAFETY: `Kernel::best` gives this path only where `is_available` saw the features it is compiled for.
        unsafe {
            match count {
                1 => job.rows::<1>(),
                2 => job.rows::<2>(),
                3 => job.rows::<3>(),
                4 => job.rows::<4>(),
                5 => job.rows::<5>(),
                _ => job.rows::<BATCH>(),
            }
        }
        first += count;
    }
}

/// One group against one bunch of activations.
struct Job<'a> {
    tiles: &'a Tiles,
    group: usize,
    bunch: Bunch<'a>,
    /// The bunch's first row.
    first: usize,
    result: &'a Grid<'a>,
}

impl Job<'_> {
    /// A bunch of `T` rows. Each row's sum runs over the blocks in order, whatever `T` is.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn rows<const T: usize>(&self) {
        let (format, group) = (self.tiles.format(), self.group);
        let mut sums = [_mm512_setzero_ps(); T];
        let minima = self.tiles.minima(group);
        let tiles = self.tiles.quants(group).chunks_exact(format.lines());
        let tiles = tiles.zip(self.tiles.scales(group)).enumerate();
        let a = self.bunch.quants.as_chunks::<T>().0.iter();
        let a = a.zip(self.bunch.scales.as_chunks::<T>().0).zip(self.bunch.sums.as_chunks::<T>().0);
        let weighted = self.bunch.weighted.as_chunks::<T>().0;
        for ((block, (lines, scale)), ((a, a_scales), a_sums)) in tiles.zip(a) {
            let quants = unpack(lines);
            let scale = widen(scale);
            let start = match format.zero_point() {
                0 => [_mm512_setzero_si512(); T],
                zero => a_sums.map(|sum| _mm512_set1_epi32(-zero * sum)),
            };
            let dots = dots::<T>(&quants, a, start);
            for t in 0..T {
                let scale = _mm512_mul_ps(scale, _mm512_set1_ps(a_scales[t]));
                sums[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[t]), scale, sums[t]);
            }
            let Some((minimum, weighted)) = minima.get(block).zip(weighted.get(block)) else {
                continue;
            };
            let minimum = widen(minimum);
            for t in 0..T {
                sums[t] = _mm512_fmadd_ps(minimum, _mm512_set1_ps(weighted[t]), sums[t]);
            }
        }
        for (t, sum) in sums.into_iter().enumerate() {
            let mut lanes = [0f32; ROWS];
            // SAFETY: `lanes` is 16 floats, the width of the store, which needs no alignment.
            unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), sum) };
            self.result.put(self.first + t, group, &lanes);
        }
    }
}

/// 32 inputs of 16 rows with one block of `T` rows of activations.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn dots<const T: usize>(
    q: &[__m512i; STEPS],
    a: &[[i8; BLOCK]; T],
    start: [__m512i; T],
) -> [__m512i; T] {
    let mut dots = start;
    for t in 0..T {
        let four = |step: usize| {
            let bytes: [u8; 4] = std::array::from_fn(|j| a[t][4 * step + j] as u8);
            _mm512_set1_epi32(i32::from_le_bytes(bytes))
        };
        // Two chains, because one waits for each instruction's latency; sums of integers are exact in any order.
        let mut even = _mm512_dpbusd_epi32(dots[t], q[0], four(0));
        let mut odd = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q[1], four(1));
        even = _mm512_dpbusd_epi32(even, q[2], four(2));
        odd = _mm512_dpbusd_epi32(odd, q[3], four(3));
        even = _mm512_dpbusd_epi32(even, q[4], four(4));
        odd = _mm512_dpbusd_epi32(odd, q[5], four(5));
        even = _mm512_dpbusd_epi32(even, q[6], four(6));
        odd = _mm512_dpbusd_epi32(odd, q[7], four(7));
        dots[t] = _mm512_add_epi32(even, odd);
    }
    dots
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
