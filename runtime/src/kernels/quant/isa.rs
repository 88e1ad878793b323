//! What CPUs without AVX-512 VNNI multiply with: eight rows at a time, by AVX2 alone or by AVX-VNNI.
//!
//! A kernel is a [`Job`] written once over a [`Unit`]; the unit compiles it for its own features. All sums here are
//! exact integers, so the units give the same bits.
#![allow(unsafe_code)] // CPU intrinsics; each block says why it is sound

use super::BLOCK;
use super::tiles::Format;
use std::arch::x86_64::{
    __m256i, _mm256_add_epi16, _mm256_add_epi32, _mm256_castsi256_si128, _mm256_cvtepi8_epi16,
    _mm256_dpbusd_avx_epi32, _mm256_extracti128_si256, _mm256_hadd_epi32, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_mullo_epi32, _mm256_permute4x64_epi64, _mm256_set1_epi8,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_srai_epi32,
    _mm256_xor_si256,
};

/// Four-input steps of a block.
pub(super) const STEPS: usize = BLOCK / 4;

/// The steps of a tile for one half of its rows.
pub(super) type Half = [__m256i; STEPS];

/// A kernel; implementations are `#[inline(always)]`, so that they get the features of the unit they run on.
pub(super) trait Job {
    /// Does the work.
    ///
    /// # Safety
    /// Inlined into a function compiled for the unit's features.
    unsafe fn run<U: Unit>(self);
}

/// A unit that the CPU has: nothing else gives a value.
pub(super) trait Unit: Copy {
    fn detect() -> Option<Self>;

    /// Runs a job compiled for this unit.
    fn enter(self, job: impl Job);

    /// 32 inputs of eight rows with one block of activations whose sum is `a_sum`, less the format's zero point.
    ///
    /// # Safety
    /// As [`Job::run`].
    unsafe fn dot(format: Format, q: &Half, a: &[i8; BLOCK], a_sum: i32) -> __m256i;

    /// Four steps of at most six bits with 16 activations, times a scale that stands twice, as 16 bits, in every lane.
    ///
    /// # Safety
    /// As [`Job::run`].
    unsafe fn scaled(q: [__m256i; STEPS / 2], a: &[i8; BLOCK / 2], scale: __m256i) -> __m256i;
}

/// AVX2: pairs of products are added in 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Avx2(());

impl Unit for Avx2 {
    fn detect() -> Option<Avx2> {
        let found = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        found.then_some(Avx2(()))
    }

    fn enter(self, job: impl Job) {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn compiled(job: impl Job) {
            // SAFETY: this function is compiled for the unit's features.
            unsafe { job.run::<Avx2>() }
        }
        // SAFETY: `self` shows that the CPU has them.
        unsafe { compiled(job) }
    }

    // SAFETY: callers are compiled for the unit.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn dot(format: Format, q: &Half, a: &[i8; BLOCK], a_sum: i32) -> __m256i {
        if format == Format::Q8_0 {
            return dot_of_bytes(q, a);
        }
        let mut dot = _mm256_set1_epi32(-format.zero_point() * a_sum);
        // Products of at most five bits: four steps fit sixteen.
        for (q, a) in q.as_chunks::<4>().0.iter().zip(a.as_chunks::<16>().0) {
            let mut pairs = _mm256_setzero_si256();
            for (q, a) in q.iter().zip(a.as_chunks::<4>().0) {
                pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(*q, four(a)));
            }
            dot = _mm256_add_epi32(dot, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
        }
        dot
    }

    // SAFETY: callers are compiled for the unit.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn scaled(q: [__m256i; STEPS / 2], a: &[i8; BLOCK / 2], scale: __m256i) -> __m256i {
        let a = a.as_chunks::<4>().0;
        let step = |i: usize| _mm256_maddubs_epi16(q[i], four(&a[i]));
        // 2 · 2 · 63 · 127 fits sixteen bits, another step would not.
        let first = _mm256_madd_epi16(_mm256_add_epi16(step(0), step(1)), scale);
        let second = _mm256_madd_epi16(_mm256_add_epi16(step(2), step(3)), scale);
        _mm256_add_epi32(first, second)
    }
}

/// Four activations in every lane.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn four(a: &[i8; 4]) -> __m256i {
    _mm256_set1_epi32(i32::from_le_bytes(a.map(|a| a as u8)))
}

/// Eight-bit quants, whose pair products do not fit sixteen bits: widened first. The zero point is undone by reading
/// the bytes as signed.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot_of_bytes(q: &Half, a: &[i8; BLOCK]) -> __m256i {
    let flip = _mm256_set1_epi8(-128);
    let (mut low, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    for (q, a) in q.iter().zip(a.as_chunks::<4>().0) {
        let signed = _mm256_xor_si256(*q, flip);
        let a = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(four(a)));
        let first = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(signed));
        let second = _mm256_cvtepi8_epi16(_mm256_extracti128_si256::<1>(signed));
        low = _mm256_add_epi32(low, _mm256_madd_epi16(first, a));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(second, a));
    }
    // Pairs of neighbours belong to one row; hadd works within 128 bits, the permutation puts rows in order.
    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(low, high))
}

/// Adds four products to every lane: one instruction, which CPUs have in one of two encodings.
pub(super) trait AddProducts: Copy {
    fn found() -> Option<Self>;

    fn compiled(self, job: impl Job);

    /// # Safety
    /// As [`Job::run`].
    unsafe fn add(sum: __m256i, q: __m256i, a: __m256i) -> __m256i;
}

/// `vpdpbusd` as AVX-VNNI encodes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AvxVnni(());

impl AddProducts for AvxVnni {
    fn found() -> Option<AvxVnni> {
        let found = Avx2::detect().is_some() && is_x86_feature_detected!("avxvnni");
        found.then_some(AvxVnni(()))
    }

    fn compiled(self, job: impl Job) {
        #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
        fn compiled(job: impl Job) {
            // SAFETY: this function is compiled for the unit's features.
            unsafe { job.run::<AvxVnni>() }
        }
        // SAFETY: `self` shows that the CPU has them.
        unsafe { compiled(job) }
    }

    // SAFETY: callers are compiled for the unit.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
    unsafe fn add(sum: __m256i, q: __m256i, a: __m256i) -> __m256i {
        _mm256_dpbusd_avx_epi32(sum, q, a)
    }
}

/// The same instruction as AVX-512 encodes it: tests run the shared body on CPUs that have only this one.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Avx512Vl(());

#[cfg(test)]
impl AddProducts for Avx512Vl {
    fn found() -> Option<Avx512Vl> {
        let found = Avx2::detect().is_some()
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        found.then_some(Avx512Vl(()))
    }

    fn compiled(self, job: impl Job) {
        #[target_feature(enable = "avx2,fma,f16c,avx512vl,avx512vnni")]
        fn compiled(job: impl Job) {
            // SAFETY: this function is compiled for the unit's features.
            unsafe { job.run::<Avx512Vl>() }
        }
        // SAFETY: `self` shows that the CPU has them.
        unsafe { compiled(job) }
    }

    // SAFETY: callers are compiled for the unit.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,avx512vl,avx512vnni")]
    unsafe fn add(sum: __m256i, q: __m256i, a: __m256i) -> __m256i {
        std::arch::x86_64::_mm256_dpbusd_epi32(sum, q, a)
    }
}

impl<P: AddProducts> Unit for P {
    fn detect() -> Option<P> {
        P::found()
    }

    #[inline(always)]
    fn enter(self, job: impl Job) {
        self.compiled(job);
    }

    // SAFETY: callers are compiled for the unit.
    #[inline(always)]
    unsafe fn dot(format: Format, q: &Half, a: &[i8; BLOCK], a_sum: i32) -> __m256i {
        let (first, second) = (a.as_chunks::<4>().0).split_at(STEPS / 2);
        // SAFETY: the caller is compiled for the unit, which has AVX2.
        unsafe {
            // Two chains, because one waits for each instruction's latency.
            let mut sums =
                [_mm256_set1_epi32(-format.zero_point() * a_sum), _mm256_setzero_si256()];
            for i in 0..STEPS / 2 {
                sums[0] = P::add(sums[0], q[i], four(&first[i]));
                sums[1] = P::add(sums[1], q[STEPS / 2 + i], four(&second[i]));
            }
            _mm256_add_epi32(sums[0], sums[1])
        }
    }

    // SAFETY: callers are compiled for the unit.
    #[inline(always)]
    unsafe fn scaled(q: [__m256i; STEPS / 2], a: &[i8; BLOCK / 2], scale: __m256i) -> __m256i {
        // SAFETY: the caller is compiled for the unit, which has AVX2.
        unsafe {
            let mut sum = _mm256_setzero_si256();
            for (q, a) in q.iter().zip(a.as_chunks::<4>().0) {
                sum = P::add(sum, *q, four(a));
            }
            _mm256_mullo_epi32(sum, _mm256_srai_epi32::<16>(scale))
        }
    }
}
