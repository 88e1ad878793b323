//! Rounding with AVX-512: the same steps as the plain code, the same bits.
#![allow(unsafe_code)] // CPU intrinsics; each block says why it is sound

use super::Quantise;
use crate::kernels::prologue::Activation;
use crate::kernels::prologue::Prologue;
use crate::kernels::quant::{BLOCK, Input};
use crate::kernels::wide::{Vnni, gelu_tanh, silu};
use std::arch::x86_64::{
    __m128i, __m512, _CMP_UNORD_Q, _mm_add_epi64, _mm_cvtsi128_si32, _mm_sad_epu8, _mm_set1_epi8,
    _mm_setzero_si128, _mm_storeu_si128, _mm_unpackhi_epi64, _mm_xor_si128, _mm512_abs_ps,
    _mm512_cmp_ps_mask, _mm512_cvtepi32_epi8, _mm512_cvtepi32_ps, _mm512_cvtps_epi32,
    _mm512_loadu_ps, _mm512_max_ps, _mm512_mul_ps, _mm512_reduce_max_ps, _mm512_set1_ps,
    _mm512_sub_ps,
};

/// One block of 32 values.
type Pair = [__m512; 2];

pub(super) fn rows(_shown: Vnni, bunch: Quantise) {
    // SAFETY: the `Vnni` shows that the CPU has the features this is compiled for.
    unsafe { rows_compiled(bunch) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni,fma")]
fn rows_compiled(mut bunch: Quantise) {
    let Input { values, prologue, fidelity } = bunch.input;
    let input_width = prologue.input_width(bunch.width);
    let passes = fidelity.rows();
    let rows = values[bunch.first * input_width..].chunks_exact(input_width);
    for (i, row) in rows.take(bunch.count / passes).enumerate() {
        let factor = _mm512_set1_ps(prologue.factor::<true>(row));
        let (one, two) = row.split_at(row.len().min(bunch.width));
        for block in 0..bunch.width / BLOCK {
            let first = pair(one, block);
            let mut values = match prologue {
                Prologue::None => first,
                Prologue::Norm { weight, .. } => scaled(first, factor, pair(weight, block)),
                Prologue::Gated(activation) => gated(first, pair(two, block), activation),
            };
            for pass in 0..passes {
                let at = block * bunch.count + i * passes + pass;
                values = round(&mut bunch, at, values);
            }
        }
    }
}

/// The `i`-th block of a row.
#[inline]
#[target_feature(enable = "avx512f")]
fn pair(row: &[f32], i: usize) -> Pair {
    let block = &row[i * BLOCK..(i + 1) * BLOCK];
    // SAFETY: the block was just checked to have 32 floats, and the loads need no alignment.
    unsafe { [_mm512_loadu_ps(block.as_ptr()), _mm512_loadu_ps(block.as_ptr().add(BLOCK / 2))] }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn scaled(x: Pair, factor: __m512, weight: Pair) -> Pair {
    let one = |x, weight| _mm512_mul_ps(_mm512_mul_ps(x, factor), weight);
    [one(x[0], weight[0]), one(x[1], weight[1])]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn gated(gate: Pair, up: Pair, activation: Activation) -> Pair {
    let gate = match activation {
        Activation::Silu => [silu(gate[0]), silu(gate[1])],
        Activation::GeluTanh => [gelu_tanh(gate[0]), gelu_tanh(gate[1])],
    };
    [_mm512_mul_ps(gate[0], up[0]), _mm512_mul_ps(gate[1], up[1])]
}

/// Rounds a block to its quants at `at`; returns what rounding leaves.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn round(bunch: &mut Quantise, at: usize, [a, b]: Pair) -> Pair {
    let most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b)));
    let is_nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, b) != 0;
    let scale = if is_nan { f32::NAN } else { most / 127.0 };
    let inverse = _mm512_set1_ps(if scale > f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 });
    let rounded = |x| _mm512_cvtps_epi32(_mm512_mul_ps(x, inverse));
    let (p, q) = (rounded(a), rounded(b));
    let bytes = [_mm512_cvtepi32_epi8(p), _mm512_cvtepi32_epi8(q)];
    let halves = [sum(bytes[0]), sum(bytes[1])];
    let sum = halves[0] + halves[1];
    bunch.halves[at] = halves.map(|sum| sum as i16);
    bunch.scales[at] = scale;
    bunch.sums[at] = sum;
    bunch.weighted[at] = sum as f32 * scale;
    let quants = bunch.quants[at].as_mut_ptr();
    // SAFETY: a block of quants is 32 bytes: two stores of 16, which need no alignment.
    unsafe {
        _mm_storeu_si128(quants.cast(), bytes[0]);
        _mm_storeu_si128(quants.add(BLOCK / 2).cast(), bytes[1]);
    }
    let scale = _mm512_set1_ps(scale);
    let left = |x, q| _mm512_sub_ps(x, _mm512_mul_ps(_mm512_cvtepi32_ps(q), scale));
    [left(a, p), left(b, q)]
}

/// The sum of sixteen signed bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn sum(bytes: __m128i) -> i32 {
    // Unsigned bytes have an instruction that sums eight of them; each is 128 too large.
    let eights = _mm_sad_epu8(_mm_xor_si128(bytes, _mm_set1_epi8(i8::MIN)), _mm_setzero_si128());
    let all = _mm_add_epi64(eights, _mm_unpackhi_epi64(eights, eights));
    _mm_cvtsi128_si32(all) - 16 * 128
}
