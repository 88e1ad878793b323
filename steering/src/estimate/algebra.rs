//! Vectors, and the two problems of matrices that the estimators share: a largest component and a ridge system.

use crate::error::{Error, Result};
use linfa_linalg::cholesky::SolveCInplace;
use linfa_linalg::eigh::EighInto;
use ndarray::{Array1, Array2, ArrayView1, Axis};
use std::f64::consts::TAU;
use trimtab_runtime::sample::{Draw, Purpose};

/// The inner product, summed from the first coordinate on.
// [width], [width] -> []
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// 1/(1 + e⁻ˣ), also of large negative numbers.
pub fn sigmoid(x: f64) -> f64 {
    let small = (-x.abs()).exp();
    if x >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) }
}

/// ln(1 + eˣ) without overflow.
pub fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// The length of a vector.
// [width] -> []
pub fn norm(a: &[f64]) -> f64 {
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
    if rows.iter().all(|x| *x == 0.0) {
        return Err(Error::NoDifference { candidates: 1 });
    }
    let component = if n < width {
        rows.t().dot(&largest(rows.dot(&rows.t()))?)
    } else {
        largest(rows.t().dot(rows))?
    };
    let length = component.dot(&component).sqrt();
    Ok(component / length)
}

/// Up to this size all eigenvectors are computed; above it only the largest.
const DENSE: usize = 64;

// [n, n] -> [n]
fn largest(symmetric: Array2<f64>) -> Result<Array1<f64>> {
    if symmetric.nrows() > DENSE {
        return lanczos(&symmetric);
    }
    Ok(top(symmetric)?.1)
}

/// The largest eigenvalue and its eigenvector, by way of all of them.
// [n, n] -> [], [n]
pub(crate) fn top(symmetric: Array2<f64>) -> Result<(f64, Array1<f64>)> {
    let (values, vectors) = eigen(symmetric)?;
    let best = values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    let none = || not_solved("component", "there is no item");
    best.map(|(at, value)| (*value, vectors.column(at).to_owned())).ok_or_else(none)
}

/// The eigenvector of the largest eigenvalue of a positive semidefinite matrix, by Lanczos' method with full
/// reorthogonalisation from a keyed random start: all eigenvectors of a few hundred rows cost over ten times as much.
// [n, n] -> [n]
pub(crate) fn lanczos(symmetric: &Array2<f64>) -> Result<Array1<f64>> {
    let (n, trace) = (symmetric.nrows(), symmetric.diag().sum());
    let mut next = Array1::from(random(0, n)?);
    let mut basis: Vec<Array1<f64>> = Vec::new();
    let (mut diagonal, mut beside): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    loop {
        let mut image = symmetric.dot(&next);
        diagonal.push(image.dot(&next));
        basis.push(next);
        // Twice is enough: the second pass removes what rounding left of the first.
        for before in basis.iter().chain(&basis) {
            image.scaled_add(-before.dot(&image), before);
        }
        let rest = image.dot(&image).sqrt();
        let steps = basis.len();
        // What is left then is rounding: the basis spans all that the start can reach.
        let ended = steps == n || rest <= 1e-15 * trace;
        if ended || steps.is_multiple_of(8) {
            let (value, parts) = ritz(&diagonal, &beside)?;
            let left = rest * parts.last().copied().unwrap_or_default().abs();
            if ended || left <= 1e-14 * value {
                return Ok(basis.iter().zip(&parts).fold(Array1::zeros(n), |v, (q, s)| v + q * *s));
            }
        }
        beside.push(rest);
        next = image / rest;
    }
}

/// The largest eigenvalue of a tridiagonal matrix and its eigenvector.
// [n], [n - 1] -> [], [n]
fn ritz(diagonal: &[f64], beside: &[f64]) -> Result<(f64, Array1<f64>)> {
    let mut small = Array2::zeros((diagonal.len(), diagonal.len()));
    small.diag_mut().assign(&ArrayView1::from(diagonal));
    for (at, value) in beside.iter().enumerate() {
        small[[at, at + 1]] = *value;
        small[[at + 1, at]] = *value;
    }
    top(small)
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

/// A unit direction, uniform on the sphere.
// [] -> [width]
pub fn random(seed: u64, width: usize) -> Result<Vec<f64>> {
    unit(gaussian(seed, width)).ok_or_else(|| Error::estimate("width", "is 0, expected at least 1"))
}

/// Independent normal numbers: Box–Muller on the runtime's keyed draws `(seed, 0, "estimate.random", 0, position)`,
/// positions 2k and 2k + 1 for values 2k and 2k + 1.
// [] -> [n]
pub fn gaussian(seed: u64, n: usize) -> Vec<f64> {
    let purpose = Purpose::Named("estimate.random");
    let uniform = |position| Draw { seed, choice: 0, purpose, attempt: 0, position }.uniform();
    let pair = |k: usize| {
        // 1 − u is never 0.
        let radius = (-2.0 * (1.0 - uniform(2 * k)).ln()).sqrt();
        let (sine, cosine) = (TAU * uniform(2 * k + 1)).sin_cos();
        [radius * cosine, radius * sine]
    };
    (0..n.div_ceil(2)).flat_map(pair).take(n).collect()
}
