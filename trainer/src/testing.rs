//! The seeded generator of all tests: SplitMix64 (Steele, Lea and Flood, 2014).

use std::f64::consts::TAU;

#[derive(Clone)]
pub(crate) struct Numbers {
    state: u64,
}

impl Numbers {
    pub(crate) fn of(seed: u64) -> Numbers {
        Numbers { state: seed.wrapping_mul(0xd134_2543_de82_ef95) }
    }

    /// A number in [0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A whole number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        low + (self.uniform() * (high + 1 - low) as f64) as usize
    }

    /// A normal number, by Box and Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (TAU * self.uniform()).cos()
    }

    /// A Gamma number by Marsaglia and Tsang (2000).
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.gamma(shape + 1.0) * (1.0 - self.uniform()).powf(shape.recip());
        }
        let d = shape - 1.0 / 3.0;
        loop {
            let x = self.normal();
            let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
            if v > 0.0 && (1.0 - self.uniform()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    pub(crate) fn beta(&mut self, a: f64, b: f64) -> f64 {
        let (a, b) = (self.gamma(a), self.gamma(b));
        a / (a + b)
    }
}

/// The derivative at 0 by a central difference of fourth order.
pub(crate) fn slope(step: f64, at: &dyn Fn(f64) -> f64) -> f64 {
    let near = (at(step) - at(-step)) / (2.0 * step);
    let far = (at(2.0 * step) - at(-2.0 * step)) / (4.0 * step);
    (4.0 * near - far) / 3.0
}

/// A generator of numbers in [0, 1) that is a function of its seed and position, and can be cloned.
pub(crate) fn generator(seed: u64) -> impl FnMut() -> f64 + Clone {
    let mut numbers = Numbers::of(seed);
    move || numbers.uniform()
}

/// Whether two numbers agree to a share of the larger one, or both are tiny.
pub(crate) fn agree(found: f64, expected: f64, relative: f64) -> bool {
    (found - expected).abs() <= relative * found.abs().max(expected.abs()).max(1e-6)
}
