//! Conjugate gradients (Hestenes and Stiefel, 1952) for an operator that is symmetric and positive.

use super::product::{dot64, norm};
use super::refusal::{SkipReason, Tried, finite};
use crate::error::Result;

/// When conjugate gradients stop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct CgLimits {
    pub(super) iterations: usize,
    /// ‖b − F·x‖ as a share of ‖b‖.
    pub(super) residual: f64,
}

/// What conjugate gradients came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Solution {
    pub(super) step: Vec<f64>,
    pub(super) iterations: usize,
    /// ‖b − F·x‖ as a share of ‖b‖.
    pub(super) residual: f64,
}

/// Solves `F·x = b` from 0. A curvature `pᵀFp` that is not positive, or a number that is not finite, ends it.
// b [n] -> x [n]
pub(super) fn solve(
    apply: impl Fn(&[f64]) -> Result<Vec<f64>>,
    b: &[f64],
    limits: CgLimits,
) -> Tried<Solution> {
    let mut rest = finite(b.to_vec())?;
    let mut step = vec![0f64; b.len()];
    let (start, mut square) = (norm(b), dot64(b, b));
    let (mut towards, mut iterations) = (rest.clone(), 0);
    while iterations < limits.iterations && square.sqrt() > limits.residual * start {
        let image = finite(apply(&towards)?)?;
        let curvature = dot64(&towards, &image);
        if curvature <= 0.0 || !curvature.is_finite() {
            return Err(SkipReason::Breakdown.into());
        }
        let length = square / curvature;
        step.iter_mut().zip(&towards).for_each(|(x, p)| *x += length * p);
        rest.iter_mut().zip(&image).for_each(|(r, q)| *r -= length * q);
        let (before, after) = (square, dot64(&rest, &rest));
        towards.iter_mut().zip(&rest).for_each(|(p, r)| *p = r + after / before * *p);
        square = after;
        iterations += 1;
    }
    let residual = if start > 0.0 { square.sqrt() / start } else { 0.0 };
    Ok(Solution { step: finite(step)?, iterations, residual })
}

#[cfg(test)]
mod tests {
    use super::super::refusal::Stop;
    use super::*;

    const MATRIX: [[f64; 3]; 3] = [[4.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.0, 0.5, 2.0]];

    fn times(matrix: [[f64; 3]; 3]) -> impl Fn(&[f64]) -> Result<Vec<f64>> {
        move |v| Ok(matrix.iter().map(|row| dot64(row, v)).collect())
    }

    fn limits(iterations: usize) -> CgLimits {
        CgLimits { iterations, residual: 1e-12 }
    }

    #[test]
    fn as_many_steps_as_unknowns_solve_it() {
        let b = [1.0, -2.0, 0.5];
        let found = solve(times(MATRIX), &b, limits(3)).unwrap();
        let image = times(MATRIX)(&found.step).unwrap();
        assert!(image.iter().zip(b).all(|(x, b)| (x - b).abs() < 1e-12));
        let short = solve(times(MATRIX), &b, limits(1)).unwrap();
        assert!(short.residual > found.residual && short.iterations == 1);
        assert_eq!(solve(times(MATRIX), &[0.0; 3], limits(3)).unwrap().iterations, 0);
    }

    #[test]
    fn what_is_not_positive_or_not_finite_breaks_down() {
        let negative = MATRIX.map(|row| row.map(|x| -x));
        for found in [
            solve(times(negative), &[1.0, 0.0, 0.0], limits(3)),
            solve(times([[0.0; 3]; 3]), &[1.0, 0.0, 0.0], limits(3)),
            solve(times([[f64::NAN; 3]; 3]), &[1.0, 0.0, 0.0], limits(3)),
            solve(times(MATRIX), &[f64::INFINITY, 0.0, 0.0], limits(3)),
        ] {
            assert!(matches!(found, Err(Stop::Skip(SkipReason::Breakdown))));
        }
    }
}
