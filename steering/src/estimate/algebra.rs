//! Vectors, and the two problems of matrices that the estimators share: a largest component and a ridge system.

use crate::error::{Error, Result};
use linfa_linalg::cholesky::SolveCInplace;
use linfa_linalg::eigh::EighInto;
use ndarray::{Array1, Array2, Axis};

/// The inner product, summed from the first coordinate on.
// [width], [width] -> []
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Length.
// [width] -> []
pub(crate) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// The vector of length 1, or `None` for a vector without a direction.
// [width] -> [width]
pub(crate) fn unit(mut a: Vec<f64>) -> Option<Vec<f64>> {
    let length = norm(&a);
    if length == 0.0 || !length.is_finite() {
        return None;
    }
    a.iter_mut().for_each(|x| *x /= length);
    Some(a)
}

/// Cosine of the angle between two vectors; NaN if one of them has no length.
// [width], [width] -> []
pub fn cosine(a: &[f64], b: &[f64]) -> f64 {
    dot(a, b) / (norm(a) * norm(b))
}

/// Projection of a state on a direction.
// [width], [width] -> []
pub fn project(state: &[f32], direction: &[f64]) -> f64 {
    state.iter().zip(direction).map(|(x, u)| f64::from(*x) * u).sum()
}

/// The unit eigenvector of XᵀX with the largest eigenvalue, of either sign. With fewer rows than columns it comes from
/// the smaller XXᵀ.
// [rows, width] -> [width]
pub(crate) fn top_component(rows: &Array2<f64>) -> Result<Array1<f64>> {
    let (n, width) = rows.dim();
    let component = if n < width {
        rows.t().dot(&largest(rows.dot(&rows.t()))?)
    } else {
        largest(rows.t().dot(rows))?
    };
    let length = component.dot(&component).sqrt();
    if length == 0.0 || !length.is_finite() {
        return Err(Error::NoDifference { candidates: 1 });
    }
    Ok(component / length)
}

// [n, n] -> [n]
fn largest(symmetric: Array2<f64>) -> Result<Array1<f64>> {
    let (values, vectors) = eigen(symmetric)?;
    let best = values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    let none = || not_solved("component", "there is no item");
    best.map(|(at, _)| vectors.column(at).to_owned()).ok_or_else(none)
}

/// Eigenvalues and, in columns, unit eigenvectors of a symmetric matrix, in no order.
// [n, n] -> [n], [n, n]
pub(crate) fn eigen(symmetric: Array2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
    symmetric.eigh_into().map_err(|error| not_solved("component", error.to_string()))
}

/// Solves (XᵀX + ridge·I) x = b. With a ridge and fewer rows than columns, through XXᵀ (Woodbury's identity).
// [rows, width], [], [width] -> [width]
pub(crate) fn ridge_solve(rows: &Array2<f64>, ridge: f64, b: &Array1<f64>) -> Result<Array1<f64>> {
    let (n, width) = rows.dim();
    if n < width && ridge > 0.0 {
        let inner = positive_solve(rows.dot(&rows.t()), ridge, rows.dot(b))?;
        return Ok((b - &rows.t().dot(&inner)) / ridge);
    }
    positive_solve(rows.t().dot(rows), ridge, b.clone())
}

// [n, n], [], [n] -> [n]
fn positive_solve(mut matrix: Array2<f64>, ridge: f64, b: Array1<f64>) -> Result<Array1<f64>> {
    matrix.diag_mut().iter_mut().for_each(|x| *x += ridge);
    let column = b.insert_axis(Axis(1));
    let solved =
        matrix.solvec_into(column).map_err(|error| not_solved("covariance", error.to_string()))?;
    if solved.iter().any(|x| !x.is_finite()) {
        return Err(not_solved("covariance", "its solution is not finite"));
    }
    Ok(solved.index_axis_move(Axis(1), 0))
}

pub(crate) fn not_solved(what: &'static str, reason: impl Into<String>) -> Error {
    Error::NotSolved { what, reason: reason.into() }
}
