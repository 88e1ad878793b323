//! Runs a loop with the widest vector unit the CPU has, chosen at run time.
//!
//! A kernel is a [`Task`]: ordinary safe Rust over lanes of sixteen that the compiler vectorises. The same code is
//! compiled once per instruction set, so a plain release build is fast everywhere. `FMA` says whether a multiply
//! and add round once; it is a constant of the machine, so results are reproducible on one machine.
#![allow(unsafe_code)] // calling a function compiled for a CPU feature is unsafe in Rust, and this is the one place

/// Lanes of one accumulator.
pub(super) const LANES: usize = 16;

/// A loop that can be compiled for several instruction sets. Implementations are `#[inline(always)]`.
pub(super) trait Task {
    /// Does the work; `FMA` selects fused multiply-add.
    fn run<const FMA: bool>(self);
}

/// Runs the task on the widest unit.
pub(super) fn on_widest_unit<T: Task>(task: T) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma") {
            // SAFETY: the CPU was just asked for avx512f and fma, the features `wide_512` is compiled for.
            return unsafe { wide_512(task) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the CPU was just asked for avx2 and fma, the features `wide_256` is compiled for.
            return unsafe { wide_256(task) };
        }
    }
    #[cfg(target_arch = "aarch64")]
    task.run::<true>();
    #[cfg(not(target_arch = "aarch64"))]
    task.run::<false>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn wide_512<T: Task>(task: T) {
    task.run::<true>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn wide_256<T: Task>(task: T) {
    task.run::<true>();
}

/// a·b + c, rounded once if the machine can.
#[inline(always)]
pub(super) fn multiply_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Sums lanes pairwise: the one order every kernel ends with.
#[inline(always)]
pub(super) fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// The largest lane; NaN is passed over.
#[inline(always)]
pub(super) fn largest_lane(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = lanes[i].max(lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// a · b in lane order.
#[inline(always)]
pub(super) fn dot<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (x, y) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] = multiply_add::<FMA>(x[i], y[i], lanes[i]);
        }
    }
    for ((x, y), lane) in a_rest.iter().zip(b_rest).zip(&mut lanes) {
        *lane = multiply_add::<FMA>(*x, *y, *lane);
    }
    sum_lanes(lanes)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dot<'a>(&'a [f32], &'a mut f32);

    impl Task for Dot<'_> {
        #[inline(always)]
        fn run<const FMA: bool>(self) {
            *self.1 = dot::<FMA>(self.0, self.0);
        }
    }

    #[test]
    fn every_length_sums_like_f64() {
        for n in 0..70usize {
            let x: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
            let exact: f64 = x.iter().map(|v| f64::from(*v).powi(2)).sum();
            let mut got = 0.0;
            on_widest_unit(Dot(&x, &mut got));
            assert!((f64::from(got) - exact).abs() < 1e-5, "{n}: {got} {exact}");
        }
    }
}
