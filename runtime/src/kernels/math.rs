//! Elementary functions over lanes, in arithmetic every vector unit has.

use super::simd::multiply_add;

/// Adding and subtracting 1.5·2²³ rounds to the nearest integer and leaves it in the low bits.
const ROUNDER: f32 = 12_582_912.0;

/// eˣ to about two units in the last place (Cephes' `expf`); 0 below −87.3, NaN for NaN.
#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let bounded = x.clamp(-87.3, 88.0);
    let shifted = multiply_add::<FMA>(bounded, std::f32::consts::LOG2_E, ROUNDER);
    let n = shifted - ROUNDER;
    let r = multiply_add::<FMA>(n, -LN2_HIGH, bounded);
    let r = multiply_add::<FMA>(n, -LN2_LOW, r);
    let mut p = 1.987_569_1e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = multiply_add::<FMA>(p, r, c);
    }
    let p = multiply_add::<FMA>(p, r * r, r) + 1.0;
    // The low bits of `shifted` are n; added to the exponent they multiply by 2ⁿ.
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    let value = p * power;
    if x < -87.3 { 0.0 } else { value }
}

#[inline(always)]
pub(super) fn silu<const FMA: bool>(x: f32) -> f32 {
    x / (1.0 + exp::<FMA>(-x))
}

/// GELU with the tanh approximation, written with a sigmoid: 0.5·(1 + tanh u) = σ(2u).
#[inline(always)]
pub(super) fn gelu_tanh<const FMA: bool>(x: f32) -> f32 {
    let u = 0.797_884_6 * (x + 0.044_715 * x * x * x);
    x / (1.0 + exp::<FMA>(-2.0 * u))
}

/// The nearest integer of a number within ±2²¹.
#[inline(always)]
pub(super) fn nearest(x: f32) -> i32 {
    (x + ROUNDER).to_bits() as i32 - ROUNDER.to_bits() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_those_of_the_standard_library() {
        for i in -9000..8800 {
            let x = i as f32 * 0.01;
            let (ours, exact) = (exp::<false>(x), f64::from(x).exp());
            assert!(
                (f64::from(ours) - exact).abs() <= 3e-7 * exact + 1.5e-38,
                "{x}: {ours} {exact}"
            );
            let fused = f64::from(exp::<true>(x));
            assert!((fused - exact).abs() <= 3e-7 * exact + 1.5e-38, "{x}");
        }
        assert_eq!((exp::<false>(0.0), exp::<false>(f32::NEG_INFINITY)), (1.0, 0.0));
        assert!(exp::<false>(f32::NAN).is_nan());
    }

    #[test]
    fn activations_are_those_of_candle() {
        let x: Vec<f32> = (-400..400).map(|i| i as f32 * 0.05).collect();
        let tensor = candle_core::Tensor::new(x.as_slice(), &candle_core::Device::Cpu).unwrap();
        let silus = tensor.silu().unwrap().to_vec1::<f32>().unwrap();
        let gelus = tensor.gelu().unwrap().to_vec1::<f32>().unwrap();
        for ((x, s), g) in x.iter().zip(silus).zip(gelus) {
            assert!((silu::<false>(*x) - s).abs() <= 1e-6 * (1.0 + s.abs()), "{x}");
            assert!((gelu_tanh::<false>(*x) - g).abs() <= 2e-6 * (1.0 + g.abs()), "{x}");
        }
    }

    #[test]
    fn integers_are_the_nearest() {
        for (x, n) in [(0.5, 0), (1.5, 2), (-127.4, -127), (126.6, 127), (-0.4, 0)] {
            assert_eq!(nearest(x), n, "{x}");
        }
    }
}
