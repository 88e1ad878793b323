//! One group of output rows for CPUs without AVX-512 VNNI, eight rows at a time; which unit multiplies is
//! [`super::super::unit`]'s business. All integer scales and minima are applied in integers.
#![allow(unsafe_code)] // CPU intrinsics; each block says why it is sound

use super::super::activations::{Activations, Bunch};
use super::super::avx2::{each_bunch, load, store, widen};
use super::super::isa::{Half, Job, Unit};
use super::super::tiles::Line;
use super::super::{BATCH, BLOCK, GroupColumns, ROWS};
use super::{KFormat, PARTS, Pairs, RowPairs, STEPS, SuperTiles};
use std::arch::x86_64::{
    __m128i, __m256, __m256i, _mm_load_si128, _mm256_add_epi32, _mm256_and_si256,
    _mm256_cvtepi8_epi16, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi16, _mm256_fmadd_ps,
    _mm256_fnmadd_ps, _mm256_madd_epi16, _mm256_mullo_epi16, _mm256_or_si256, _mm256_set1_epi8,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256,
    _mm256_shufflehi_epi16, _mm256_shufflelo_epi16, _mm256_slli_epi16, _mm256_sllv_epi32,
    _mm256_srli_epi16, _mm256_srlv_epi32,
};
use std::ops::Range;

// x [rows, in] -> the group's columns of the result
pub(in super::super) fn group<U: Unit>(
    unit: U,
    tiles: &SuperTiles,
    x: &Activations,
    result: &mut GroupColumns,
) {
    let group = result.group;
    each_bunch(x, result, |bunch, count, sums| {
        unit.enter(Rows { tiles, group, bunch, count, sums });
    });
}

/// One group against one bunch of activations.
struct Rows<'a> {
    tiles: &'a SuperTiles,
    group: usize,
    bunch: Bunch<'a>,
    /// Rows of the bunch.
    count: usize,
    sums: &'a mut [[f32; ROWS]; BATCH],
}

/// A super-block's sums of one row of activations and half of the tile's rows.
#[derive(Clone, Copy)]
struct Sums {
    own: __m256,
    least: __m256,
}

impl Job for Rows<'_> {
    /// The sums of a bunch's rows over the blocks in order.
    // SAFETY: only `Unit::enter` calls this, compiled for the unit's features.
    #[inline(always)]
    unsafe fn run<U: Unit>(self) {
        let Rows { tiles, group, bunch, count, sums } = self;
        let lines = tiles.format.lines();
        // SAFETY: this is inlined into a function compiled for the unit's features, of which AVX2, FMA and F16C are
        // three.
        unsafe {
            let zero = _mm256_setzero_ps();
            let mut totals = [[zero; 2]; BATCH];
            for (i, of) in tiles.supers(group).enumerate() {
                let mut parts = [[Sums { own: zero, least: zero }; BATCH]; 2];
                for (part, (lines, pairs)) in
                    of.quants.chunks_exact(lines).zip(of.pairs).enumerate()
                {
                    let at = (i * PARTS + part) * count;
                    for (half, parts) in parts.iter_mut().enumerate() {
                        let tile = Tile::unpack(tiles.format, lines, pairs, half);
                        tile.add::<U>(&bunch, at..at + count, parts);
                    }
                }
                for (half, parts) in parts.iter().enumerate() {
                    let scales = widen(of.scales, half);
                    let minima = of.minima.map_or(zero, |m| widen(m, half));
                    for (total, part) in totals.iter_mut().zip(parts) {
                        let sum = _mm256_fmadd_ps(part.own, scales, total[half]);
                        total[half] = _mm256_fnmadd_ps(part.least, minima, sum);
                    }
                }
            }
            for (sums, [low, high]) in sums.iter_mut().zip(totals) {
                *sums = store(low, high);
            }
        }
    }
}

/// Half of the rows of a tile. Scales and minima are of 16 bits, two in a lane.
struct Tile {
    quants: Half,
    /// Of each half of the inputs, standing twice.
    scales: [__m256i; 2],
    /// What the sums of the halves are multiplied with, and added to the product.
    zero: Option<__m256i>,
    /// The same, added to the minima's sum.
    minima: Option<__m256i>,
}

impl Tile {
    /// # Safety
    /// As [`Job::run`].
    #[inline(always)] // a call would pass the quants through memory
    unsafe fn unpack(format: KFormat, lines: &[Line], pairs: &RowPairs, half: usize) -> Tile {
        // SAFETY: the caller promises AVX2.
        let quants = unsafe { unpack(format, lines, half) };
        // SAFETY: as above.
        let (scales, zero, minima) = unsafe { factors(format, pairs, half) };
        Tile { quants, scales, zero, minima }
    }

    /// Adds the tile times the blocks at `at`.
    ///
    /// # Safety
    /// As [`Job::run`].
    #[inline(always)]
    unsafe fn add<U: Unit>(&self, bunch: &Bunch, at: Range<usize>, sums: &mut [Sums; BATCH]) {
        let [q0, q1, q2, q3, q4, q5, q6, q7] = self.quants;
        for (i, sums) in at.zip(sums) {
            let (a, _) = bunch.quants[i].as_chunks::<{ BLOCK / 2 }>();
            let [first, second] = bunch.halves[i];
            // SAFETY: the caller promises the unit's features.
            unsafe {
                let halves = i32::from(first as u16) | i32::from(second) << 16;
                let (halves, scale) = (_mm256_set1_epi32(halves), _mm256_set1_ps(bunch.scales[i]));
                let low = U::scaled([q0, q1, q2, q3], &a[0], self.scales[0]);
                let high = U::scaled([q4, q5, q6, q7], &a[1], self.scales[1]);
                let mut product = _mm256_add_epi32(low, high);
                if let Some(zero) = self.zero {
                    product = _mm256_add_epi32(product, _mm256_madd_epi16(zero, halves));
                }
                sums.own = _mm256_fmadd_ps(_mm256_cvtepi32_ps(product), scale, sums.own);
                if let Some(minima) = self.minima {
                    let minimum = _mm256_cvtepi32_ps(_mm256_madd_epi16(minima, halves));
                    sums.least = _mm256_fmadd_ps(minimum, scale, sums.least);
                }
            }
        }
    }
}

/// A tile's scales, zero points and minima.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn factors(
    format: KFormat,
    pairs: &RowPairs,
    half: usize,
) -> ([__m256i; 2], Option<__m256i>, Option<__m256i>) {
    let bytes = load_pairs(pairs, half);
    let unsigned = _mm256_cvtepu8_epi16(bytes);
    match format.pairs() {
        Pairs::ScaleMinimum => {
            let [scale, minimum] = apart(unsigned);
            ([scale; 2], None, Some(minimum))
        }
        Pairs::Scales => {
            let pairs = _mm256_cvtepi8_epi16(bytes);
            let zero = _mm256_set1_epi16(-format.zero_point() as i16);
            (apart(pairs), Some(_mm256_mullo_epi16(pairs, zero)), None)
        }
        Pairs::Nibbles => {
            let scales = apart(_mm256_and_si256(unsigned, _mm256_set1_epi16(15)));
            (scales, None, Some(_mm256_srli_epi16::<4>(unsigned)))
        }
    }
}

/// The first of every pair, twice, and the second.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn apart(pairs: __m256i) -> [__m256i; 2] {
    [
        _mm256_shufflehi_epi16::<0b10_10_00_00>(_mm256_shufflelo_epi16::<0b10_10_00_00>(pairs)),
        _mm256_shufflehi_epi16::<0b11_11_01_01>(_mm256_shufflelo_epi16::<0b11_11_01_01>(pairs)),
    ]
}

/// The four-input steps of one half of a tile's rows as unsigned bytes.
///
/// # Safety
/// As [`Job::run`].
#[inline(always)]
unsafe fn unpack(format: KFormat, tile: &[Line], half: usize) -> Half {
    // SAFETY: the caller promises AVX2.
    unsafe {
        match format {
            KFormat::Q2_K => crumbs(&tile[..2], half),
            KFormat::Q3_K => add_bits::<2>(crumbs(&tile[..2], half), &tile[2], half),
            KFormat::Q4_K => nibbles(&tile[..4], half),
            KFormat::Q5_K => add_bits::<4>(nibbles(&tile[..4], half), &tile[4], half),
            KFormat::Q6_K => {
                let (low, high) = (nibbles(&tile[..4], half), crumbs(&tile[4..6], half));
                std::array::from_fn(|i| _mm256_or_si256(low[i], _mm256_slli_epi16::<4>(high[i])))
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn nibbles(lines: &[Line], half: usize) -> Half {
    let mask = _mm256_set1_epi8(15);
    let mut steps = [_mm256_setzero_si256(); STEPS];
    for (g, line) in lines.iter().enumerate() {
        let both = load(line, half);
        steps[g] = _mm256_and_si256(both, mask);
        steps[g + 4] = _mm256_and_si256(_mm256_srli_epi16::<4>(both), mask);
    }
    steps
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn crumbs(lines: &[Line], half: usize) -> Half {
    let mask = _mm256_set1_epi8(3);
    let mut steps = [_mm256_setzero_si256(); STEPS];
    for (g, line) in lines.iter().enumerate() {
        let four = load(line, half);
        steps[g] = _mm256_and_si256(four, mask);
        steps[g + 2] = _mm256_and_si256(_mm256_srli_epi16::<2>(four), mask);
        steps[g + 4] = _mm256_and_si256(_mm256_srli_epi16::<4>(four), mask);
        steps[g + 6] = _mm256_and_si256(_mm256_srli_epi16::<6>(four), mask);
    }
    steps
}

/// Puts one bit of each byte, the step's, above the steps' low bits: at bit `AT`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add_bits<const AT: usize>(mut steps: Half, line: &Line, half: usize) -> Half {
    let (bits, mask) = (load(line, half), _mm256_set1_epi8(1 << AT));
    for (i, step) in steps.iter_mut().enumerate() {
        // A shift by a constant, because the loop is unrolled.
        let bits = match AT.checked_sub(i) {
            Some(left) => _mm256_sllv_epi32(bits, _mm256_set1_epi32(left as i32)),
            None => _mm256_srlv_epi32(bits, _mm256_set1_epi32((i - AT) as i32)),
        };
        *step = _mm256_or_si256(*step, _mm256_and_si256(bits, mask));
    }
    steps
}

/// The byte pairs of eight rows.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load_pairs(pairs: &RowPairs, half: usize) -> __m128i {
    let at = &pairs.0.as_chunks::<16>().0[half];
    // SAFETY: 16 bytes, half of a `RowPairs` that is aligned to 32, exactly what the load reads.
    unsafe { _mm_load_si128(at.as_ptr().cast()) }
}
