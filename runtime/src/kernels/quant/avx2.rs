//! One group of output rows with AVX2, for CPUs without AVX-512 VNNI: the same tiles in two halves of eight rows, the
//! same operations per row, so the same bits.
#![allow(unsafe_code)] // CPU intrinsics; each block says why it is sound

use super::activations::{Activations, Bunch};
use super::tiles::{Format, Line, Tiles};
use super::{BATCH, BLOCK, Grid, ROWS};
use std::arch::x86_64::{
    __m128i, __m256, __m256i, _mm_loadu_si128, _mm256_add_epi16, _mm256_add_epi32,
    _mm256_and_si256, _mm256_castsi256_si128, _mm256_cmpeq_epi8, _mm256_cvtepi8_epi16,
    _mm256_cvtepi32_ps, _mm256_cvtph_ps, _mm256_extracti128_si256, _mm256_fmadd_ps,
    _mm256_hadd_epi32, _mm256_load_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps,
    _mm256_or_si256, _mm256_permute4x64_epi64, _mm256_set1_epi8, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_set1_ps, _mm256_setr_epi8, _mm256_setzero_ps,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16, _mm256_storeu_ps,
    _mm256_xor_si256,
};

/// Four-input steps of a block.
const STEPS: usize = BLOCK / 4;
/// Steps whose products of at most five bits fit sixteen.
const NARROW: usize = 4;

/// The steps of a tile for one half of its rows.
type Half = [__m256i; STEPS];

/// Whether this CPU has what [`group`] needs.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

// x [rows, in] -> the group's columns of the result
pub(super) fn group(tiles: &Tiles, group: usize, x: &Activations, result: &Grid) {
    let mut first = 0;
    while first < x.rows() {
        let (bunch, count) = x.bunch(first);
        // SAFETY: `Kernel::best` gives this path only where `is_available` saw the features it is compiled for.
        let sums = unsafe { rows(tiles, group, &bunch, count) };
        for (t, sums) in sums.iter().take(count).enumerate() {
            result.put(first + t, group, sums);
        }
        first += count;
    }
}

/// The sums of a bunch's rows over the blocks in order.
#[target_feature(enable = "avx2,fma,f16c")]
fn rows(tiles: &Tiles, group: usize, bunch: &Bunch, count: usize) -> [[f32; ROWS]; BATCH] {
    let format = tiles.format();
    let mut sums = [[_mm256_setzero_ps(); 2]; BATCH];
    let minima = tiles.minima(group);
    let lines = tiles.quants(group).chunks_exact(format.lines()).zip(tiles.scales(group));
    for (block, (lines, scales)) in lines.enumerate() {
        let at = block * count..(block + 1) * count;
        let (a, a_scales) = (&bunch.quants[at.clone()], &bunch.scales[at.clone()]);
        let weighted = &bunch.weighted[at.clone()];
        let minima = minima.get(block);
        for half in 0..2 {
            let quants = unpack(lines, half);
            let scale = widen(scales, half);
            for (t, a) in a.iter().enumerate() {
                let dot = _mm256_cvtepi32_ps(dot(format, &quants, a, bunch.sums[at.start + t]));
                let scale = _mm256_mul_ps(scale, _mm256_set1_ps(a_scales[t]));
                sums[t][half] = _mm256_fmadd_ps(dot, scale, sums[t][half]);
            }
            let Some(minima) = minima else { continue };
            let minima = widen(minima, half);
            for (weighted, sums) in weighted.iter().zip(&mut sums) {
                sums[half] = _mm256_fmadd_ps(minima, _mm256_set1_ps(*weighted), sums[half]);
            }
        }
    }
    sums.map(|[low, high]| store(low, high))
}

/// 32 inputs of eight rows with one block of activations, less the zero point.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot(format: Format, q: &Half, a: &[i8; BLOCK], a_sum: i32) -> __m256i {
    let four = |step: usize| {
        let bytes: [u8; 4] = std::array::from_fn(|j| a[4 * step + j] as u8);
        _mm256_set1_epi32(i32::from_le_bytes(bytes))
    };
    if format == Format::Q8_0 {
        return dot_of_bytes(q, four);
    }
    let ones = _mm256_set1_epi16(1);
    let mut dot = _mm256_set1_epi32(-format.zero_point() * a_sum);
    for (part, q) in q.chunks(NARROW).enumerate() {
        let mut pairs = _mm256_setzero_si256();
        for (step, q) in q.iter().enumerate() {
            let products = _mm256_maddubs_epi16(*q, four(part * NARROW + step));
            pairs = _mm256_add_epi16(pairs, products);
        }
        dot = _mm256_add_epi32(dot, _mm256_madd_epi16(pairs, ones));
    }
    dot
}

/// As [`dot`] for eight-bit quants, whose pair products do not fit sixteen bits: widened first. The zero point is
/// undone by reading the bytes as signed.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot_of_bytes(q: &Half, four: impl Fn(usize) -> __m256i) -> __m256i {
    let flip = _mm256_set1_epi8(-128);
    let (mut low, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    for (step, q) in q.iter().enumerate() {
        let signed = _mm256_xor_si256(*q, flip);
        let a = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(four(step)));
        let first = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(signed));
        let second = _mm256_cvtepi8_epi16(_mm256_extracti128_si256::<1>(signed));
        low = _mm256_add_epi32(low, _mm256_madd_epi16(first, a));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(second, a));
    }
    // Pairs of neighbours belong to one row; hadd works within 128 bits, the permutation puts rows in order.
    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(low, high))
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
fn load(line: &Line, half: usize) -> __m256i {
    let at = &line.0.as_chunks::<32>().0[half];
    // SAFETY: 32 bytes, half of a line that is aligned to 64, exactly what the load reads.
    unsafe { _mm256_load_si256(at.as_ptr().cast()) }
}

/// Eight f16 as f32.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn widen(halves: &[u16; ROWS], half: usize) -> __m256 {
    let at = &halves.as_chunks::<8>().0[half];
    // SAFETY: eight u16 are the 16 bytes the load reads; it needs no alignment.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(at.as_ptr().cast::<__m128i>()) })
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn store(low: __m256, high: __m256) -> [f32; ROWS] {
    let mut lanes = [0f32; ROWS];
    let (first, second) = lanes.split_at_mut(ROWS / 2);
    // SAFETY: each half is eight floats, the width of the store, which needs no alignment.
    unsafe {
        _mm256_storeu_ps(first.as_mut_ptr(), low);
        _mm256_storeu_ps(second.as_mut_ptr(), high);
    }
    lanes
}
