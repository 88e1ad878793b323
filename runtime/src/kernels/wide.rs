//! What shows that a CPU has AVX-512, and elementary functions over its registers: the steps of
//! [`math`](super::math), so the same bits.

use std::arch::x86_64::{
    __m512, _CMP_LT_OQ, _mm512_add_epi32, _mm512_add_ps, _mm512_castps_si512, _mm512_castsi512_ps,
    _mm512_cmp_ps_mask, _mm512_div_ps, _mm512_fmadd_ps, _mm512_maskz_mov_ps, _mm512_max_ps,
    _mm512_min_ps, _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_slli_epi32,
    _mm512_sub_ps,
};

/// AVX-512: only a CPU that has it gives a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Avx512(());

impl Avx512 {
    pub(super) fn detect() -> Option<Avx512> {
        let found = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma");
        found.then_some(Avx512(()))
    }
}

/// AVX-512 with products of bytes: only a CPU that has it gives a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vnni(());

impl Vnni {
    pub(super) fn detect() -> Option<Vnni> {
        let bytes = is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vnni");
        Avx512::detect().filter(|_| bytes).map(|_| Vnni(()))
    }
}

/// As [`math::exp`](super::math::exp).
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn exp(x: __m512) -> __m512 {
    let all = |v: f32| _mm512_set1_ps(v);
    let rounder = all(12_582_912.0);
    // The order of operands keeps a NaN: the instruction returns its second one.
    let bounded = _mm512_min_ps(all(88.0), _mm512_max_ps(all(-87.3), x));
    let shifted = _mm512_fmadd_ps(bounded, all(std::f32::consts::LOG2_E), rounder);
    let n = _mm512_sub_ps(shifted, rounder);
    let r = _mm512_fmadd_ps(n, all(-0.693_359_4), bounded);
    let r = _mm512_fmadd_ps(n, all(2.121_944_4e-4), r);
    let mut p = all(1.987_569_1e-4);
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = _mm512_fmadd_ps(p, r, all(c));
    }
    let p = _mm512_add_ps(_mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r), all(1.0));
    let bits = _mm512_slli_epi32::<23>(_mm512_castps_si512(shifted));
    let power = _mm512_castsi512_ps(_mm512_add_epi32(bits, _mm512_set1_epi32(0x3f80_0000)));
    let tiny = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, all(-87.3));
    _mm512_maskz_mov_ps(!tiny, _mm512_mul_ps(p, power))
}

/// As [`math::silu`](super::math::silu).
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn silu(x: __m512) -> __m512 {
    let one = _mm512_set1_ps(1.0);
    let negative = _mm512_sub_ps(_mm512_set1_ps(-0.0), x);
    _mm512_div_ps(x, _mm512_add_ps(one, exp(negative)))
}

/// As [`math::gelu_tanh`](super::math::gelu_tanh).
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn gelu_tanh(x: __m512) -> __m512 {
    let all = |v: f32| _mm512_set1_ps(v);
    let cube = _mm512_mul_ps(_mm512_mul_ps(_mm512_mul_ps(all(0.044_715), x), x), x);
    let u = _mm512_mul_ps(all(0.797_884_6), _mm512_add_ps(x, cube));
    let e = exp(_mm512_mul_ps(all(-2.0), u));
    _mm512_div_ps(x, _mm512_add_ps(all(1.0), e))
}

#[cfg(test)]
mod tests {
    #![allow(unsafe_code)] // functions compiled for a CPU feature are unsafe to call
    use super::super::math;
    use super::*;
    use std::arch::x86_64::{_mm512_loadu_ps, _mm512_storeu_ps};

    // SAFETY: the one caller asks the CPU for avx512f first.
    fn lanes(f: unsafe fn(__m512) -> __m512, x: [f32; 16]) -> [f32; 16] {
        let mut out = [0f32; 16];
        // SAFETY: the caller asked the CPU for avx512f; the arrays have the width of a register.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), f(_mm512_loadu_ps(x.as_ptr()))) };
        out
    }

    #[test]
    fn lanes_have_the_bits_of_plain_code() {
        if Avx512::detect().is_none() {
            return;
        }
        let special = [f32::NAN, f32::NEG_INFINITY, -0.0, 0.0, 1e-40, -87.31, 88.5, f32::INFINITY];
        let values = (-9000..9000).map(|i| i as f32 * 0.01).chain(special);
        for x in values {
            let all = [x; 16];
            let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
            assert!(same(lanes(exp, all)[3], math::exp::<true>(x)), "exp {x}");
            assert!(same(lanes(silu, all)[9], math::silu::<true>(x)), "silu {x}");
            assert!(same(lanes(gelu_tanh, all)[15], math::gelu_tanh::<true>(x)), "gelu {x}");
        }
    }
}
