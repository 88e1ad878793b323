//! The two number types a forecaster computes in: f32 where it serves, f64 where it is fitted.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Mul, MulAssign, Sub};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// f32 or f64.
pub trait Real:
    sealed::Sealed
    + Copy
    + Debug
    + Default
    + PartialEq
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + AddAssign
    + MulAssign
    + 'static
{
    /// The nearest number of this type.
    fn of(value: f64) -> Self;
    /// The same number in f64.
    fn wide(self) -> f64;
    /// The hyperbolic tangent, in this type.
    fn tanh(self) -> Self;
    /// `ln(1 + eˣ)`, without overflow.
    fn softplus(self) -> Self;
}

impl Real for f32 {
    fn of(value: f64) -> f32 {
        value as f32
    }

    fn wide(self) -> f64 {
        f64::from(self)
    }

    fn tanh(self) -> f32 {
        f32::tanh(self)
    }

    fn softplus(self) -> f32 {
        // `max` would turn a NaN into 0.
        let above = if self < 0.0 { 0.0 } else { self };
        above + (-self.abs()).exp().ln_1p()
    }
}

impl Real for f64 {
    fn of(value: f64) -> f64 {
        value
    }

    fn wide(self) -> f64 {
        self
    }

    fn tanh(self) -> f64 {
        f64::tanh(self)
    }

    fn softplus(self) -> f64 {
        let above = if self < 0.0 { 0.0 } else { self };
        above + (-self.abs()).exp().ln_1p()
    }
}

const LANES: usize = 8;

/// The sum of products in `A`. Eight partial sums, so that the compiler may use vector registers.
// a [n], b [n] -> []
pub(crate) fn dot<A: Real, B: Real>(a: &[A], b: &[B]) -> A {
    let (a_lines, a_rest) = a.as_chunks::<LANES>();
    let (b_lines, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [A::default(); LANES];
    for (a, b) in a_lines.iter().zip(b_lines) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += *a * A::of(b.wide());
        }
    }
    let mut sum = A::default();
    for lane in lanes {
        sum += lane;
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        sum += *a * A::of(b.wide());
    }
    sum
}

/// `y ← y + factor · x`.
// y [n], x [n] -> [n]
pub(crate) fn add_scaled<A: Real, B: Real>(y: &mut [A], factor: A, x: &[B]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * A::of(x.wide());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_product_counts_every_value_once() {
        for n in 0..40usize {
            let a: Vec<f64> = (0..n).map(|i| i as f64 + 1.0).collect();
            let b: Vec<f32> = (0..n).map(|i| (i % 3) as f32).collect();
            let expected: f64 = a.iter().zip(&b).map(|(a, b)| a * f64::from(*b)).sum();
            assert_eq!(dot(&a, &b), expected, "{n}");
        }
    }

    #[test]
    fn softplus_neither_overflows_nor_hides_a_nan() {
        assert_eq!(1e6f64.softplus(), 1e6);
        assert!((-700f64).softplus() > 0.0);
        assert!((0f64.softplus() - 2f64.ln()).abs() < 1e-15);
        assert!(f64::NAN.softplus().is_nan() && f32::NAN.softplus().is_nan());
    }
}
