//! One group of output rows with AVX-512 VNNI: four inputs of 16 rows in one instruction, and no sum ever crosses
//! lanes. The half-blocks' integer scales are applied in integers.
#![allow(unsafe_code)] // CPU intrinsics; each block says why it is sound

use super::super::activations::{Activations, Bunch};
use super::super::tiles::Line;
use super::super::vnni::{Bunches, each_bunch, load, widen};
use super::super::{BLOCK, GroupColumns};
use super::{KFormat, PARTS, Pairs, RowPairs, STEPS, SuperTiles};
use crate::kernels::wide::Vnni;
use std::arch::x86_64::{
    __m256i, __m512, __m512i, _mm256_load_si256, _mm512_add_epi32, _mm512_and_si512,
    _mm512_cvtepi8_epi16, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi16, _mm512_dpbusd_epi32,
    _mm512_dpwssd_epi32, _mm512_fmadd_ps, _mm512_fnmadd_ps, _mm512_madd_epi16, _mm512_mul_ps,
    _mm512_mullo_epi16, _mm512_mullo_epi32, _mm512_or_si512, _mm512_set1_epi8, _mm512_set1_epi16,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_slli_epi16,
    _mm512_slli_epi32, _mm512_sllv_epi32, _mm512_srai_epi32, _mm512_srli_epi16, _mm512_srli_epi32,
    _mm512_srlv_epi32,
};

// x [rows, in] -> the group's columns of the result
pub(in super::super) fn group(
    unit: Vnni,
    tiles: &SuperTiles,
    x: &Activations,
    result: &mut GroupColumns,
) {
    let group = result.group;
    each_bunch(unit, &Job { tiles, group }, x, result);
}

/// One group of tiles.
struct Job<'a> {
    tiles: &'a SuperTiles,
    group: usize,
}

/// One block of `T` rows of activations.
struct Inputs<'a, const T: usize> {
    quants: &'a [[i8; BLOCK]; T],
    scales: &'a [f32; T],
    halves: &'a [[i16; 2]; T],
    weighted: &'a [f32; T],
}

/// A super-block's sums of `T` rows: over the scales, over the minima.
struct Sums<const T: usize> {
    own: [__m512; T],
    least: [__m512; T],
}

impl Bunches for Job<'_> {
    // SAFETY: callers have a `Vnni`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn sums<const T: usize>(&self, bunch: &Bunch, _first: usize) -> [__m512; T] {
        let format = self.tiles.format;
        let mut sums = [_mm512_setzero_ps(); T];
        let mut inputs = inputs::<T>(bunch);
        for of in self.tiles.supers(self.group) {
            let mut parts = Sums { own: [_mm512_setzero_ps(); T], least: [_mm512_setzero_ps(); T] };
            let tiles = of.quants.chunks_exact(format.lines()).zip(of.pairs);
            for ((tile, pairs), a) in tiles.zip(inputs.by_ref().take(PARTS)) {
                let quants = unpack(format, tile);
                match format.pairs() {
                    Pairs::ScaleMinimum => whole(&quants, pairs, &a, &mut parts),
                    Pairs::Scales => halves(format, &quants, pairs, &a, &mut parts),
                    Pairs::Nibbles => nibbles(&quants, pairs, &a, &mut parts),
                }
            }
            let scales = widen(of.scales);
            let minima = of.minima.map_or(_mm512_setzero_ps(), |minima| widen(minima));
            for (sum, (own, least)) in sums.iter_mut().zip(parts.own.into_iter().zip(parts.least)) {
                *sum = _mm512_fmadd_ps(own, scales, *sum);
                *sum = _mm512_fnmadd_ps(least, minima, *sum);
            }
        }
        sums
    }
}

/// The bunch's blocks in order.
fn inputs<'a, const T: usize>(bunch: &'a Bunch<'a>) -> impl Iterator<Item = Inputs<'a, T>> {
    let Bunch { quants, scales, halves, weighted, .. } = bunch;
    let quants = quants.as_chunks::<T>().0.iter().zip(scales.as_chunks::<T>().0);
    let sums = halves.as_chunks::<T>().0.iter().zip(weighted.as_chunks::<T>().0);
    quants.zip(sums).map(|((quants, scales), (halves, weighted))| Inputs {
        quants,
        scales,
        halves,
        weighted,
    })
}

/// Adds one tile with one scale and minimum per row.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn whole<const T: usize>(
    q: &[__m512i; STEPS],
    pairs: &RowPairs,
    a: &Inputs<T>,
    sums: &mut Sums<T>,
) {
    let pairs = _mm512_cvtepu8_epi16(load_pairs(pairs));
    let scale = _mm512_cvtepi32_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(0xff)));
    let minimum = _mm512_cvtepi32_ps(_mm512_srli_epi32::<16>(pairs));
    for t in 0..T {
        let [first, second] = dots(q, &a.quants[t]);
        let dot = _mm512_cvtepi32_ps(_mm512_add_epi32(first, second));
        let scale = _mm512_mul_ps(scale, _mm512_set1_ps(a.scales[t]));
        sums.own[t] = _mm512_fmadd_ps(dot, scale, sums.own[t]);
        sums.least[t] = _mm512_fmadd_ps(minimum, _mm512_set1_ps(a.weighted[t]), sums.least[t]);
    }
}

/// Adds one tile with a scale per row and half-block, and a zero point.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn halves<const T: usize>(
    format: KFormat,
    q: &[__m512i; STEPS],
    pairs: &RowPairs,
    a: &Inputs<T>,
    sums: &mut Sums<T>,
) {
    let pairs = _mm512_cvtepi8_epi16(load_pairs(pairs));
    let scales = apart(pairs);
    let zero = _mm512_set1_epi16(-format.zero_point() as i16);
    let zero = _mm512_mullo_epi16(pairs, zero);
    for t in 0..T {
        let product = scaled(q, &a.quants[t], &scales);
        let product = _mm512_dpwssd_epi32(product, zero, both(a.halves[t]));
        let product = _mm512_cvtepi32_ps(product);
        sums.own[t] = _mm512_fmadd_ps(product, _mm512_set1_ps(a.scales[t]), sums.own[t]);
    }
}

/// Adds one tile with a scale and a minimum per row and half-block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn nibbles<const T: usize>(
    q: &[__m512i; STEPS],
    pairs: &RowPairs,
    a: &Inputs<T>,
    sums: &mut Sums<T>,
) {
    let pairs = _mm512_cvtepu8_epi16(load_pairs(pairs));
    let scales = _mm512_and_si512(pairs, _mm512_set1_epi16(15));
    let minima = _mm512_srli_epi16::<4>(pairs);
    let scales = apart(scales);
    for t in 0..T {
        let scale = _mm512_set1_ps(a.scales[t]);
        let product = _mm512_cvtepi32_ps(scaled(q, &a.quants[t], &scales));
        sums.own[t] = _mm512_fmadd_ps(product, scale, sums.own[t]);
        let minimum = _mm512_cvtepi32_ps(_mm512_madd_epi16(minima, both(a.halves[t])));
        sums.least[t] = _mm512_fmadd_ps(minimum, scale, sums.least[t]);
    }
}

/// Pairs of signed 16 bits as two of 32.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn apart(pairs: __m512i) -> [__m512i; 2] {
    let first = _mm512_srai_epi32::<16>(_mm512_slli_epi32::<16>(pairs));
    [first, _mm512_srai_epi32::<16>(pairs)]
}

/// The same pair for every row.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn both([first, second]: [i16; 2]) -> __m512i {
    _mm512_set1_epi32(i32::from(first as u16) | i32::from(second) << 16)
}

/// 32 inputs of 16 rows with one block of activations, halves times their scales.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn scaled(q: &[__m512i; STEPS], a: &[i8; BLOCK], scales: &[__m512i; 2]) -> __m512i {
    let [first, second] = dots(q, a);
    let first = _mm512_mullo_epi32(first, scales[0]);
    _mm512_add_epi32(first, _mm512_mullo_epi32(second, scales[1]))
}

/// The first and the second 16 inputs of 16 rows with one block of activations.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn dots(q: &[__m512i; STEPS], a: &[i8; BLOCK]) -> [__m512i; 2] {
    let four = |step: usize| {
        let bytes: [u8; 4] = std::array::from_fn(|j| a[4 * step + j] as u8);
        _mm512_set1_epi32(i32::from_le_bytes(bytes))
    };
    let mut dots = [_mm512_setzero_si512(); 2];
    for step in 0..STEPS / 2 {
        for (half, dot) in dots.iter_mut().enumerate() {
            let step = half * (STEPS / 2) + step;
            *dot = _mm512_dpbusd_epi32(*dot, q[step], four(step));
        }
    }
    dots
}

/// The eight four-input steps of a tile as unsigned bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn unpack(format: KFormat, tile: &[Line]) -> [__m512i; STEPS] {
    match format {
        KFormat::Q2_K => crumbs([&tile[0], &tile[1]]),
        KFormat::Q3_K => add_bits::<2>(crumbs([&tile[0], &tile[1]]), &tile[2]),
        KFormat::Q4_K => nibbles_of(tile),
        KFormat::Q5_K => add_bits::<4>(nibbles_of(tile), &tile[4]),
        KFormat::Q6_K => {
            let high = crumbs([&tile[4], &tile[5]]);
            let low = nibbles_of(tile);
            std::array::from_fn(|i| _mm512_or_si512(low[i], _mm512_slli_epi16::<4>(high[i])))
        }
    }
}

/// Four bits each; `tile` has at least four lines.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn nibbles_of(tile: &[Line]) -> [__m512i; STEPS] {
    let mask = _mm512_set1_epi8(15);
    let mut steps = [_mm512_setzero_si512(); STEPS];
    for (g, line) in tile.iter().take(4).enumerate() {
        let both = load(line);
        steps[g] = _mm512_and_si512(both, mask);
        steps[g + 4] = _mm512_and_si512(_mm512_srli_epi16::<4>(both), mask);
    }
    steps
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn crumbs(lines: [&Line; 2]) -> [__m512i; STEPS] {
    let mask = _mm512_set1_epi8(3);
    let mut steps = [_mm512_setzero_si512(); STEPS];
    for (g, line) in lines.into_iter().enumerate() {
        let four = load(line);
        steps[g] = _mm512_and_si512(four, mask);
        steps[g + 2] = _mm512_and_si512(_mm512_srli_epi16::<2>(four), mask);
        steps[g + 4] = _mm512_and_si512(_mm512_srli_epi16::<4>(four), mask);
        steps[g + 6] = _mm512_and_si512(_mm512_srli_epi16::<6>(four), mask);
    }
    steps
}

/// Puts one bit of each byte, the step's, above the steps' low bits: at bit `AT`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_bits<const AT: usize>(mut steps: [__m512i; STEPS], line: &Line) -> [__m512i; STEPS] {
    let (bits, mask) = (load(line), _mm512_set1_epi8(1 << AT));
    for (i, step) in steps.iter_mut().enumerate() {
        // A shift by a constant, because the loop is unrolled.
        let bits = match AT.checked_sub(i) {
            Some(left) => _mm512_sllv_epi32(bits, _mm512_set1_epi32(left as i32)),
            None => _mm512_srlv_epi32(bits, _mm512_set1_epi32((i - AT) as i32)),
        };
        *step = _mm512_or_si512(*step, _mm512_and_si512(bits, mask));
    }
    steps
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn load_pairs(pairs: &RowPairs) -> __m256i {
    // SAFETY: `RowPairs` is 32 bytes aligned to 32, exactly what the load reads.
    unsafe { _mm256_load_si256(pairs.0.as_ptr().cast()) }
}
