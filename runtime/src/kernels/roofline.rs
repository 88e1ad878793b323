//! What the machine can do at most, for benchmarks that name a share of it: bytes read from memory, and multiply-adds
//! out of registers. The loops do nothing else, so no kernel passes them. Only x86-64 has them.
#![allow(unsafe_code)] // CPU intrinsics; each block says why it is sound

use super::arena::Arena;
use std::hint::black_box;
use std::sync::{Barrier, Mutex, PoisonError};
use std::time::Instant;

/// Larger than any cache.
const BUFFER_BYTES: usize = 512 << 20;
/// Sums that run side by side, enough to hide an instruction's latency.
const CHAINS: usize = 12;
/// Steps of one timed run of arithmetic: some milliseconds, so that some run is not interrupted.
const STEPS: usize = 500_000;
/// Timed runs, of which the fastest counts: others on the machine only take away.
const RUNS: usize = 20;

/// Rates of so many threads together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roofline {
    /// Threads.
    pub threads: usize,
    /// Bytes a second read from memory.
    pub read_bytes: f64,
    /// Multiply-adds of int8 a second.
    pub int8_madds: f64,
    /// Multiply-adds of f32 a second.
    pub f32_madds: f64,
}

/// The loops, and how many multiply-adds one step of one chain is.
// SAFETY: a loop is called only through a `Unit` that `unit` gave, after it detected the loop's features.
struct Unit {
    read: unsafe fn(&[u64]) -> u64,
    int8: unsafe fn(),
    f32: unsafe fn(),
    int8_lanes: usize,
    f32_lanes: usize,
}

/// Measures for some seconds; `None` on CPUs that have no loops here.
pub fn measure(threads: usize) -> Option<Roofline> {
    let unit = unit()?;
    let threads = threads.max(1);
    let mut buffer = Arena::default().take::<u64>(BUFFER_BYTES / 8).ok()?;
    buffer.fill(1);
    let share = buffer.len().div_ceil(threads);
    let read = fastest(threads, &|thread| {
        let part = buffer.chunks(share).nth(thread).unwrap_or_default();
        // SAFETY: `unit` gave the loop only after its features were detected.
        black_box(unsafe { (unit.read)(part) });
    });
    // SAFETY: as above.
    let int8 = fastest(threads, &|_| unsafe { (unit.int8)() });
    // SAFETY: as above.
    let f32 = fastest(threads, &|_| unsafe { (unit.f32)() });
    let work = |lanes: usize| (threads * STEPS * CHAINS * lanes) as f64;
    Some(Roofline {
        threads,
        read_bytes: BUFFER_BYTES as f64 / read,
        int8_madds: work(unit.int8_lanes) / int8,
        f32_madds: work(unit.f32_lanes) / f32,
    })
}

/// Seconds from the first thread's beginning to the last one's end, in the fastest of several runs.
fn fastest(threads: usize, work: &(dyn Fn(usize) + Sync)) -> f64 {
    let (start, spans) = (Barrier::new(threads), Mutex::new(vec![None; RUNS]));
    let thread = |thread: usize| {
        for run in 0..RUNS {
            start.wait();
            let began = Instant::now();
            work(thread);
            let ended = Instant::now();
            let mut spans = spans.lock().unwrap_or_else(PoisonError::into_inner);
            let (first, last) = spans[run].unwrap_or((began, ended));
            spans[run] = Some((first.min(began), last.max(ended)));
        }
    };
    let thread = &thread;
    std::thread::scope(|scope| {
        (0..threads).for_each(|i| drop(scope.spawn(move || thread(i))));
    });
    let spans = spans.into_inner().unwrap_or_else(PoisonError::into_inner);
    let seconds = |(first, last): (Instant, Instant)| (last - first).as_secs_f64();
    spans.into_iter().flatten().map(seconds).fold(f64::INFINITY, f64::min)
}

#[cfg(not(target_arch = "x86_64"))]
fn unit() -> Option<Unit> {
    None
}

#[cfg(target_arch = "x86_64")]
fn unit() -> Option<Unit> {
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
        let [int8_lanes, f32_lanes] = [64, 16];
        let (read, int8, f32) = (wide::read, wide::int8, wide::f32);
        return Some(Unit { read, int8, int8_lanes, f32, f32_lanes });
    }
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        let [int8_lanes, f32_lanes] = [32, 8];
        let (read, int8, f32) = (narrow::read, narrow::int8, narrow::f32);
        return Some(Unit { read, int8, int8_lanes, f32, f32_lanes });
    }
    None
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use super::{CHAINS, STEPS, black_box};
    use std::arch::x86_64::{
        _mm512_add_epi64, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_si512,
        _mm512_reduce_add_epi64, _mm512_set1_epi8, _mm512_set1_ps, _mm512_setzero_si512,
    };

    #[target_feature(enable = "avx512f")]
    pub(super) fn read(part: &[u64]) -> u64 {
        let mut sums = [_mm512_setzero_si512(); 4];
        let (lines, rest) = part.as_chunks::<32>();
        for line in lines {
            for (sum, eight) in sums.iter_mut().zip(line.as_chunks::<8>().0) {
                // SAFETY: eight u64 are the 64 bytes the load reads; it needs no alignment.
                *sum = _mm512_add_epi64(*sum, unsafe { _mm512_loadu_si512(eight.as_ptr().cast()) });
            }
        }
        let [a, b, c, d] = sums.map(|sum| _mm512_reduce_add_epi64(sum) as u64);
        a + b + c + d + rest.iter().sum::<u64>()
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn int8() {
        let (a, b) = black_box((_mm512_set1_epi8(3), _mm512_set1_epi8(-2)));
        let mut sums = black_box([_mm512_setzero_si512(); CHAINS]);
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, a, b);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn f32() {
        // Towards 1, so that sums stay ordinary numbers.
        let (a, b) = black_box((_mm512_set1_ps(0.5), _mm512_set1_ps(0.5)));
        let mut sums = black_box([_mm512_set1_ps(2.0); CHAINS]);
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, a, b);
            }
        }
        black_box(sums);
    }
}

/// AVX2 with FMA; a product of bytes is three instructions there.
#[cfg(target_arch = "x86_64")]
mod narrow {
    use super::{CHAINS, STEPS, black_box};
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi32, _mm256_add_epi64, _mm256_fmadd_ps, _mm256_loadu_si256,
        _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi8, _mm256_set1_epi16,
        _mm256_set1_ps, _mm256_setzero_si256, _mm256_storeu_si256,
    };

    #[target_feature(enable = "avx2")]
    pub(super) fn read(part: &[u64]) -> u64 {
        let mut sums = [_mm256_setzero_si256(); 8];
        let (lines, rest) = part.as_chunks::<32>();
        for line in lines {
            for (sum, four) in sums.iter_mut().zip(line.as_chunks::<4>().0) {
                let from = four.as_ptr().cast::<__m256i>();
                // SAFETY: four u64 are the 32 bytes the load reads; it needs no alignment.
                *sum = _mm256_add_epi64(*sum, unsafe { _mm256_loadu_si256(from) });
            }
        }
        let mut total = rest.iter().sum::<u64>();
        for sum in sums {
            let mut lanes = [0u64; 4];
            // SAFETY: `lanes` is 32 bytes, the width of the store, which needs no alignment.
            unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sum) };
            total += lanes.iter().sum::<u64>();
        }
        total
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn int8() {
        let ones = black_box(_mm256_set1_epi16(1));
        // Another factor for each chain, and a new one for each step, so that no two products are one.
        let b: [__m256i; CHAINS] =
            black_box(std::array::from_fn(|i| _mm256_set1_epi8(i as i8 + 1)));
        let mut sums = black_box([_mm256_setzero_si256(); CHAINS]);
        for step in 0..STEPS {
            let a = black_box(_mm256_set1_epi8((step % 100) as i8));
            for (sum, b) in sums.iter_mut().zip(&b) {
                let pairs = _mm256_maddubs_epi16(a, *b);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn f32() {
        let (a, b) = black_box((_mm256_set1_ps(0.5), _mm256_set1_ps(0.5)));
        let mut sums = black_box([_mm256_set1_ps(2.0); CHAINS]);
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, a, b);
            }
        }
        black_box(sums);
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_read() {
        for len in [0, 5, 32, 77] {
            let part: Vec<u64> = (1..=len).collect();
            let sum = len * (len + 1) / 2;
            if is_x86_feature_detected!("avx512f") {
                // SAFETY: the CPU was just asked for avx512f.
                assert_eq!(unsafe { wide::read(&part) }, sum);
            }
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the CPU was just asked for avx2.
                assert_eq!(unsafe { narrow::read(&part) }, sum);
            }
        }
    }
}
