//! Small matrices in f64: what the fits and the confidence share.

use super::error::TpopError;
use linfa_linalg::cholesky::{Cholesky, InverseC};
use ndarray::{Array2, ArrayView1};
pub(super) use trimtab_steering::estimate::{dot, sigmoid, softplus};

// [width], [width] -> [width]
pub(super) fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(x, y)| x - y).collect()
}

// [width] -> [width]
pub(super) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// Adds scale·ggᵀ to a matrix.
// [n], [n, n] -> [n, n]
pub(super) fn add_outer(matrix: &mut Array2<f64>, g: &ArrayView1<'_, f64>, scale: f64) {
    for (mut row, x) in matrix.rows_mut().into_iter().zip(g) {
        row.scaled_add(scale * x, g);
    }
}

/// The factor L of a positive definite matrix LLᵀ.
// [n, n] -> [n, n]
pub(super) fn cholesky(matrix: &Array2<f64>, what: &'static str) -> Result<Array2<f64>, TpopError> {
    let lower = matrix.cholesky().map_err(|_| TpopError::NotPositive { what })?;
    // A NaN passes every comparison of the decomposition.
    if lower.diag().iter().all(|x| x.is_finite()) {
        return Ok(lower);
    }
    Err(TpopError::NotPositive { what })
}

// [n, n] -> [n, n]
pub(super) fn inverse(matrix: &Array2<f64>, what: &'static str) -> Result<Array2<f64>, TpopError> {
    matrix.invc().map_err(|_| TpopError::NotPositive { what })
}

/// ln det of LLᵀ.
// [n, n] -> []
pub(super) fn log_determinant(lower: &Array2<f64>) -> f64 {
    2.0 * lower.diag().iter().map(|x| x.ln()).sum::<f64>()
}

/// Solves Lx = b for x. A `b` that is too short is filled up with zeros.
// [n, n], [n] -> [n]
pub(super) fn forward(lower: &Array2<f64>, b: &[f64]) -> Vec<f64> {
    let mut solved: Vec<f64> = Vec::with_capacity(lower.nrows());
    let b = b.iter().copied().chain(std::iter::repeat(0.0));
    for (row, b) in lower.rows().into_iter().zip(b) {
        let known: f64 = row.iter().zip(&solved).map(|(l, x)| l * x).sum();
        let pivot = row.get(solved.len()).copied().unwrap_or(1.0);
        solved.push((b - known) / pivot);
    }
    solved
}

/// Solves Lᵀx = b for x.
// [n, n], [n] -> [n]
pub(super) fn backward(lower: &Array2<f64>, b: &[f64]) -> Vec<f64> {
    let mut left = b.to_vec();
    let mut solved = vec![0.0; b.len()];
    for (at, row) in lower.rows().into_iter().enumerate().rev() {
        let pivot = row.get(at).copied().unwrap_or(1.0);
        let value = left.get(at).copied().unwrap_or_default() / pivot;
        if let Some(place) = solved.get_mut(at) {
            *place = value;
        }
        left.iter_mut().zip(row).take(at).for_each(|(left, l)| *left -= l * value);
    }
    solved
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn substitution_solves_the_system() {
        let matrix = array![[25., 15., -5.], [15., 18., 0.], [-5., 0., 11.]];
        let lower = cholesky(&matrix, "a").unwrap();
        let x = backward(&lower, &forward(&lower, &[1.0, 2.0, 3.0]));
        let back = matrix.dot(&ndarray::Array1::from(x));
        for (got, expected) in back.iter().zip([1.0, 2.0, 3.0]) {
            assert!((got - expected).abs() < 1e-12, "{got}");
        }
        assert!((log_determinant(&lower) - 2025f64.ln()).abs() < 1e-12);
        assert!(cholesky(&array![[1., 2.], [2., 1.]], "a").is_err());
        assert!(cholesky(&array![[f64::NAN, 0.], [0., 1.]], "a").is_err());
    }

    #[test]
    fn the_logistic_functions_do_not_overflow() {
        for x in [-800.0, -1.0, 0.0, 1.0, 800.0] {
            assert!((sigmoid(x) + sigmoid(-x) - 1.0).abs() < 1e-15);
            assert!((softplus(x) - softplus(-x) - x).abs() < 1e-12);
        }
    }
}
