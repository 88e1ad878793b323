//! One group of output rows for CPUs without AVX-512 VNNI: the same tiles in two halves of eight rows, the same
//! operations per row, so the same bits. Which unit multiplies is [`super::unit`]'s business.
#![allow(unsafe_code)] // CPU intrinsics; each block says why it is sound

use super::activations::{Activations, Bunch};
use super::isa::{Half, Job, STEPS, Unit};
use super::tiles::{Format, Line, Tiles};
use super::{BATCH, GroupColumns, ROWS};
use std::arch::x86_64::{
    __m128i, __m256, __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_cmpeq_epi8,
    _mm256_cvtepi32_ps, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_load_si256, _mm256_mul_ps,
    _mm256_or_si256, _mm256_set1_epi8, _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_set1_ps,
    _mm256_setr_epi8, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_shuffle_epi8,
    _mm256_srli_epi16, _mm256_storeu_ps,
};
use std::ops::Range;

// x [rows, in] -> the group's columns of the result
pub(super) fn group<U: Unit>(unit: U, tiles: &Tiles, x: &Activations, result: &mut GroupColumns) {
    let group = result.group;
    each_bunch(x, result, |bunch, count, sums| {
        unit.enter(Rows { tiles, group, bunch, count, sums });
    });
}

/// Sums every bunch and writes what it gives.
pub(super) fn each_bunch(
    x: &Activations,
    result: &mut GroupColumns,
    sum: impl Fn(Bunch<'_>, usize, &mut [[f32; ROWS]; BATCH]),
) {
    let mut first = 0;
    while first < x.rows() {
        let (bunch, count) = x.bunch(first);
        let mut sums = [[0f32; ROWS]; BATCH];
        sum(bunch, count, &mut sums);
        for (t, sums) in sums.iter().take(count).enumerate() {
            result.put(first + t, sums);
        }
        first += count;
    }
}

/// One group against one bunch of activations.
struct Rows<'a> {
    tiles: &'a Tiles,
    group: usize,
    bunch: Bunch<'a>,
    /// Rows of the bunch.
    count: usize,
    sums: &'a mut [[f32; ROWS]; BATCH],
}

impl Job for Rows<'_> {
    /// The sums of a bunch's rows over the blocks in order.
    // SAFETY: only `Unit::enter` calls this, compiled for the unit's features.
    #[inline(always)]
    unsafe fn run<U: Unit>(self) {
        let Rows { tiles, group, bunch, count, sums } = self;
        // SAFETY: this is inlined into a function compiled for the unit's features, of which AVX2, FMA and F16C are
        // three.
        unsafe {
            let mut own = [[_mm256_setzero_ps(); 2]; BATCH];
            let minima = tiles.minima(group);
            let lines = tiles.quants(group).chunks_exact(tiles.format().lines());
            for (block, (lines, scales)) in lines.zip(tiles.scales(group)).enumerate() {
                for half in 0..2 {
                    let tile =
                        Tile { format: tiles.format(), lines, scales, minima: minima.get(block) };
                    tile.add::<U>(half, &bunch, block * count..(block + 1) * count, &mut own);
                }
            }
            for (sums, [low, high]) in sums.iter_mut().zip(own) {
                *sums = store(low, high);
            }
        }
    }
}

struct Tile<'a> {
    format: Format,
    lines: &'a [Line],
    scales: &'a [u16; ROWS],
    minima: Option<&'a [u16; ROWS]>,
}

impl Tile<'_> {
    /// Adds one half of the tile's rows times the blocks at `at`.
    ///
    /// # Safety
    /// As [`Job::run`].
    #[inline(always)]
    unsafe fn add<U: Unit>(
        &self,
        half: usize,
        bunch: &Bunch,
        at: Range<usize>,
        sums: &mut [[__m256; 2]; BATCH],
    ) {
        // SAFETY: the caller promises the unit's features.
        unsafe {
            let quants = unpack(self.lines, half);
            let scale = widen(self.scales, half);
            for (i, sums) in at.clone().zip(&mut *sums) {
                let dot = U::dot(self.format, &quants, &bunch.quants[i], bunch.sums[i]);
                let scale = _mm256_mul_ps(scale, _mm256_set1_ps(bunch.scales[i]));
                sums[half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, sums[half]);
            }
            let Some(minima) = self.minima else { return };
            let minima = widen(minima, half);
            for (weighted, sums) in bunch.weighted[at].iter().zip(sums) {
                sums[half] = _mm256_fmadd_ps(minima, _mm256_set1_ps(*weighted), sums[half]);
            }
        }
    }
}

/// The four-input steps of one half of a tile's rows as unsigned bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack(tile: &[Line], half: usize) -> Half {
    if tile.len() == STEPS {
        return std::array::from_fn(|step| load(&tile[step], half));
    }
    let nibble = _mm256_set1_epi8(15);
    let mut steps = [_mm256_setzero_si256(); STEPS];
    for g in 0..STEPS / 2 {
        let both = load(&tile[g], half);
        steps[g] = _mm256_and_si256(both, nibble);
        steps[g + STEPS / 2] = _mm256_and_si256(_mm256_srli_epi16::<4>(both), nibble);
    }
    if let Some(fifth) = tile.get(4) {
        for (step, bits) in steps.iter_mut().zip(fifth.0.as_chunks::<8>().0) {
            let bits = u64::from_le_bytes(*bits) >> (32 * half);
            *step = _mm256_or_si256(*step, sixteen_where(bits as u32));
        }
    }
    steps
}

/// 16 in every byte whose bit is set.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn sixteen_where(bits: u32) -> __m256i {
    #[rustfmt::skip]
    let byte_of = _mm256_setr_epi8(
        0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,
        2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3,
    );
    let bit_of = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
    let spread = _mm256_shuffle_epi8(_mm256_set1_epi32(bits as i32), byte_of);
    let set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit_of), bit_of);
    _mm256_and_si256(set, _mm256_set1_epi8(16))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn load(line: &Line, half: usize) -> __m256i {
    let at = &line.0.as_chunks::<32>().0[half];
    // SAFETY: 32 bytes, half of a line that is aligned to 64, exactly what the load reads.
    unsafe { _mm256_load_si256(at.as_ptr().cast()) }
}

/// Eight f16 as f32.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn widen(halves: &[u16; ROWS], half: usize) -> __m256 {
    let at = &halves.as_chunks::<8>().0[half];
    // SAFETY: eight u16 are the 16 bytes the load reads; it needs no alignment.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(at.as_ptr().cast::<__m128i>()) })
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn store(low: __m256, high: __m256) -> [f32; ROWS] {
    let mut lanes = [0f32; ROWS];
    let (first, second) = lanes.split_at_mut(ROWS / 2);
    // SAFETY: each half is eight floats, the width of the store, which needs no alignment.
    unsafe {
        _mm256_storeu_ps(first.as_mut_ptr(), low);
        _mm256_storeu_ps(second.as_mut_ptr(), high);
    }
    lanes
}
