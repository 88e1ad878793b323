//! Choices made from a stream of uniform numbers that the caller owns.
//!
//! The generator stays outside, so that its key is the caller's. What is kept here is how many numbers were taken: a run
//! that is continued needs the generator at that position.

use crate::error::TrainerError;
use std::f64::consts::TAU;

/// A caller's stream of numbers in [0, 1), with a count of those taken.
pub(crate) struct Draws<'a> {
    uniform: &'a mut dyn FnMut() -> f64,
    taken: u64,
}

impl<'a> Draws<'a> {
    pub(crate) fn of(uniform: &'a mut dyn FnMut() -> f64) -> Draws<'a> {
        Draws { uniform, taken: 0 }
    }

    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// The next number, checked to lie in [0, 1).
    pub(crate) fn uniform(&mut self) -> Result<f64, TrainerError> {
        self.taken += 1;
        let value = (self.uniform)();
        if (0.0..1.0).contains(&value) {
            return Ok(value);
        }
        Err(TrainerError::NotUniform { value })
    }

    /// Independent normal numbers, by Box and Muller.
    // [] -> [n]
    pub(crate) fn normals(&mut self, n: usize) -> Result<Vec<f64>, TrainerError> {
        let mut values = Vec::with_capacity(n + 1);
        while values.len() < n {
            let radius = (-2.0 * (1.0 - self.uniform()?).ln()).sqrt();
            let (sine, cosine) = (TAU * self.uniform()?).sin_cos();
            values.extend([radius * cosine, radius * sine]);
        }
        values.truncate(n);
        Ok(values)
    }

    /// `count` of the values in random order, none twice: the start of a shuffle by Fisher and Yates. One number is taken for
    /// each, so that a run takes the same count whatever is chosen.
    // [n] -> [count]
    pub(crate) fn choose<T>(
        &mut self,
        mut values: Vec<T>,
        count: usize,
    ) -> Result<Vec<T>, TrainerError> {
        let count = count.min(values.len());
        for at in 0..count {
            let left = values.len() - at;
            let offset = ((self.uniform()? * left as f64) as usize).min(left - 1);
            values.swap(at, at + offset);
        }
        values.truncate(count);
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::generator;

    #[test]
    fn choices_are_different_and_equally_likely() {
        let mut uniform = generator(3);
        let mut draws = Draws::of(&mut uniform);
        let mut counts = [0u32; 5];
        for _ in 0..20_000 {
            let chosen: Vec<usize> = draws.choose((0..5).collect(), 3).unwrap();
            assert!(chosen.len() == 3 && chosen[0] != chosen[1]);
            assert!(chosen[0] != chosen[2] && chosen[1] != chosen[2]);
            chosen.iter().for_each(|at| counts[*at] += 1);
        }
        assert!(counts.iter().all(|count| count.abs_diff(12_000) < 350), "{counts:?}");
        assert_eq!(draws.taken(), 60_000);
        assert_eq!(draws.choose(vec![0; 2], 9).unwrap().len(), 2);
    }

    #[test]
    fn normals_have_mean_0_and_variance_1() {
        let mut uniform = generator(4);
        let values = Draws::of(&mut uniform).normals(100_001).unwrap();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn numbers_outside_the_unit_interval_are_refused() {
        for bad in [1.0, -0.1, f64::NAN] {
            let mut uniform = || bad;
            let found = Draws::of(&mut uniform).choose(vec![0; 3], 1);
            assert!(matches!(found, Err(TrainerError::NotUniform { .. })), "{bad}");
        }
    }
}
