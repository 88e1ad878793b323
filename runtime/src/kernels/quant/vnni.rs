//! One group of output rows with AVX-512 VNNI: `vpdpbusd` multiplies 64 unsigned by 64 signed bytes and adds them in
//! fours, so one instruction is four inputs of 16 rows, and no sum ever crosses lanes.
#![allow(unsafe_code)] // CPU intrinsics; each block says why it is sound

use super::activations::{Activations, Bunch};
use super::tiles::{Format, Line, Tiles};
use super::{BATCH, BLOCK, GroupColumns, ROWS};
use crate::kernels::wide::Vnni;
use std::arch::x86_64::{
    __m256i, __m512, __m512i, _MM_HINT_T0, _mm_prefetch, _mm256_loadu_si256, _mm512_add_epi32,
    _mm512_and_si512, _mm512_cvtepi32_ps, _mm512_cvtph_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps,
    _mm512_load_si512, _mm512_mask_add_epi8, _mm512_mul_ps, _mm512_set1_epi8, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_srli_epi16, _mm512_storeu_ps,
    _mm512_sub_epi32,
};
use std::marker::PhantomData;

/// Four-input steps of a block.
const STEPS: usize = BLOCK / 4;

/// Tiles between the one that is used and the one that a single bunch asks for.
const AHEAD: usize = 16;

// x [rows, in] -> the group's columns of the result
pub(super) fn group(unit: Vnni, tiles: &Tiles, x: &Activations, result: &mut GroupColumns) {
    match tiles.format() {
        Format::Q4_0 => bunches::<Nibbles>(unit, tiles, x, result),
        Format::Q4_1 => bunches::<NibblesAndMinimum>(unit, tiles, x, result),
        Format::Q5_0 => bunches::<Fives>(unit, tiles, x, result),
        Format::Q5_1 => bunches::<FivesAndMinimum>(unit, tiles, x, result),
        Format::Q8_0 => bunches::<Bytes>(unit, tiles, x, result),
    }
}

/// A format as a type, so that the loop over tiles is compiled for it.
trait Kind {
    const FORMAT: Format;
}

struct Nibbles;
struct NibblesAndMinimum;
struct Fives;
struct FivesAndMinimum;
struct Bytes;

impl Kind for Nibbles {
    const FORMAT: Format = Format::Q4_0;
}
impl Kind for NibblesAndMinimum {
    const FORMAT: Format = Format::Q4_1;
}
impl Kind for Fives {
    const FORMAT: Format = Format::Q5_0;
}
impl Kind for FivesAndMinimum {
    const FORMAT: Format = Format::Q5_1;
}
impl Kind for Bytes {
    const FORMAT: Format = Format::Q8_0;
}

fn bunches<K: Kind>(unit: Vnni, tiles: &Tiles, x: &Activations, result: &mut GroupColumns) {
    let group = result.group;
    each_bunch(unit, &Job::<K> { tiles, group, rows: x.rows(), kind: PhantomData }, x, result);
}

/// A group's sums over one bunch, compiled for every number of rows.
pub(super) trait Bunches {
    /// The bunch of `T` rows from `first` on. Each row's sum runs over the blocks in order, whatever `T` is.
    ///
    /// # Safety
    /// The CPU has what a [`Vnni`] shows.
    unsafe fn sums<const T: usize>(&self, bunch: &Bunch, first: usize) -> [__m512; T];
}

/// Sums every bunch and writes what it gives.
pub(super) fn each_bunch(
    _shown: Vnni,
    job: &impl Bunches,
    x: &Activations,
    result: &mut GroupColumns,
) {
    let mut first = 0;
    while first < x.rows() {
        let (bunch, count) = x.bunch(first);
        let place = (first, &mut *result);
        // SAFETY: the `Vnni` shows that the CPU has the features these are compiled for.
        unsafe {
            match count {
                1 => put::<1>(job, &bunch, place),
                2 => put::<2>(job, &bunch, place),
                3 => put::<3>(job, &bunch, place),
                4 => put::<4>(job, &bunch, place),
                5 => put::<5>(job, &bunch, place),
                _ => put::<BATCH>(job, &bunch, place),
            }
        }
        first += count;
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn put<const T: usize>(
    job: &impl Bunches,
    bunch: &Bunch,
    (first, result): (usize, &mut GroupColumns),
) {
    // SAFETY: this function is compiled for the same features.
    let sums = unsafe { job.sums::<T>(bunch, first) };
    for (t, sum) in sums.into_iter().enumerate() {
        let mut lanes = [0f32; ROWS];
        // SAFETY: `lanes` is 16 floats, the width of the store, which needs no alignment.
        unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), sum) };
        result.put(first + t, &lanes);
    }
}

/// One group of tiles.
struct Job<'a, K> {
    tiles: &'a Tiles,
    group: usize,
    /// Rows of all bunches.
    rows: usize,
    kind: PhantomData<K>,
}

impl<K: Kind> Bunches for Job<'_, K> {
    // SAFETY: callers have a `Vnni`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn sums<const T: usize>(&self, bunch: &Bunch, first: usize) -> [__m512; T] {
        let (lines, group) = (K::FORMAT.lines(), self.group);
        let mut sums = [_mm512_setzero_ps(); T];
        let minima = self.tiles.minima(group);
        let (quants, scales) = (self.tiles.quants(group), self.tiles.scales(group));
        let tiles = quants.chunks_exact(lines).zip(scales).enumerate();
        // Weights come from memory while others are used: one bunch asks for those a little ahead, of several each
        // asks for its share of the next group.
        let bunches = self.rows.div_ceil(BATCH);
        let ahead = if bunches == 1 { AHEAD } else { scales.len() };
        let mut turn = first / BATCH;
        let a = bunch.quants.as_chunks::<T>().0.iter();
        let a = a.zip(bunch.scales.as_chunks::<T>().0).zip(bunch.sums.as_chunks::<T>().0);
        let weighted = bunch.weighted.as_chunks::<T>().0;
        for ((block, (tile, scale)), ((a, a_scales), a_sums)) in tiles.zip(a) {
            if turn == 0 {
                turn = bunches;
                fetch(tile, ahead * lines);
                if bunches > 1 {
                    fetch(std::slice::from_ref(scale), ahead);
                    fetch(minima.get(block..block + 1).unwrap_or_default(), ahead);
                }
            }
            turn -= 1;
            let mut dots = dots::<K, T>(tile, a);
            let scale = widen(scale);
            for t in 0..T {
                if K::FORMAT.zero_point() != 0 {
                    let zero = _mm512_set1_epi32(K::FORMAT.zero_point() * a_sums[t]);
                    dots[t] = _mm512_sub_epi32(dots[t], zero);
                }
                let scale = _mm512_mul_ps(scale, _mm512_set1_ps(a_scales[t]));
                sums[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[t]), scale, sums[t]);
            }
            if !K::FORMAT.has_minimum() {
                continue;
            }
            let Some((minimum, weighted)) = minima.get(block).zip(weighted.get(block)) else {
                continue;
            };
            let minimum = widen(minimum);
            for t in 0..T {
                sums[t] = _mm512_fmadd_ps(minimum, _mm512_set1_ps(weighted[t]), sums[t]);
            }
        }
        sums
    }
}

/// Asks for the cache lines that lie so many values behind these.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn fetch<V>(values: &[V], ahead: usize) {
    for value in values {
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).wrapping_add(ahead).cast());
    }
}

/// 32 inputs of 16 rows with one block of `T` rows of activations.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn dots<K: Kind, const T: usize>(tile: &[Line], a: &[[i8; BLOCK]; T]) -> [__m512i; T] {
    // Two chains, because one waits for each instruction's latency; sums of integers are exact in any order.
    let mut dots = [[_mm512_setzero_si512(); 2]; T];
    for pair in 0..STEPS / 2 {
        let steps = two_steps::<K>(tile, pair);
        for t in 0..T {
            for (chain, (step, q)) in steps.into_iter().enumerate() {
                let bytes = &a[t].as_chunks::<4>().0[step];
                let four = i32::from_ne_bytes(bytes.map(i8::cast_unsigned));
                dots[t][chain] = _mm512_dpbusd_epi32(dots[t][chain], q, _mm512_set1_epi32(four));
            }
        }
    }
    let mut sums = [_mm512_setzero_si512(); T];
    for t in 0..T {
        sums[t] = _mm512_add_epi32(dots[t][0], dots[t][1]);
    }
    sums
}

/// Two four-input steps of a tile, and which they are, as unsigned bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn two_steps<K: Kind>(tile: &[Line], pair: usize) -> [(usize, __m512i); 2] {
    if K::FORMAT == Format::Q8_0 {
        return [(2 * pair, load(&tile[2 * pair])), (2 * pair + 1, load(&tile[2 * pair + 1]))];
    }
    let nibble = _mm512_set1_epi8(15);
    let both = load(&tile[pair]);
    let mut low = _mm512_and_si512(both, nibble);
    let mut high = _mm512_and_si512(_mm512_srli_epi16::<4>(both), nibble);
    let (first, second) = (pair, pair + STEPS / 2);
    if K::FORMAT.has_fifth_bits() {
        let masks = tile[4].0.as_chunks::<8>().0;
        low = fifth(low, masks[first]);
        high = fifth(high, masks[second]);
    }
    [(first, low), (second, high)]
}

/// Adds 16 where the mask has a bit.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn fifth(quants: __m512i, mask: [u8; 8]) -> __m512i {
    _mm512_mask_add_epi8(quants, u64::from_le_bytes(mask), quants, _mm512_set1_epi8(16))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn load(line: &Line) -> __m512i {
    // SAFETY: a `Line` is 64 bytes aligned to 64, exactly what the load reads.
    unsafe { _mm512_load_si512(line.0.as_ptr().cast()) }
}

/// Sixteen f16 as f32.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn widen(halves: &[u16; ROWS]) -> __m512 {
    // SAFETY: sixteen u16 are the 32 bytes the load reads; it needs no alignment.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(halves.as_ptr().cast::<__m256i>()) })
}
