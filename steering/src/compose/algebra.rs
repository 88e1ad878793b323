//! The little linear algebra that composition needs, in f64.
//!
//! Vectors are plain slices and a basis is a list of them: there are at most a few dozen, and what is heavy (singular
//! vectors, factors) is linfa-linalg's.

use super::error::Error;
pub(super) use crate::estimate::algebra::{dot, norm};
use linfa_linalg::svd::{SVD, SvdSort};
use ndarray::Array2;

/// A vector whose part outside a basis is shorter than this share of it lies in the basis' span.
const DEPENDENT: f64 = 1e-9;
/// A singular value below this share of the largest one is rounding, and its vector arbitrary.
const NOISE: f64 = 1e-9;

/// Cosine of two vectors; 0 if one of them has no length.
// [width], [width] -> []
pub(super) fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let lengths = norm(a) * norm(b);
    if lengths == 0.0 { 0.0 } else { dot(a, b) / lengths }
}

// [width] -> [width]
pub(super) fn wide(row: &[f32]) -> Vec<f64> {
    row.iter().map(|v| f64::from(*v)).collect()
}

// [width] -> [width] of length `length`
pub(super) fn stretched(v: &[f64], length: f64) -> Vec<f64> {
    let factor = length / norm(v);
    v.iter().map(|x| x * factor).collect()
}

#[derive(Debug, Clone, Default)]
pub(super) struct Basis(Vec<Vec<f64>>);

impl Basis {
    pub(super) fn rank(&self) -> usize {
        self.0.len()
    }

    pub(super) fn rows(&self) -> &[Vec<f64>] {
        &self.0
    }

    /// Takes in the part of a vector that is new. Twice, because one pass of Gram and Schmidt leaves what it rounded.
    // [width]
    pub(super) fn extend(&mut self, v: &[f64]) {
        let (before, once) = (norm(v), self.outside(v));
        if norm(&once) > DEPENDENT * before {
            let twice = self.outside(&once);
            self.0.push(stretched(&twice, 1.0));
        }
    }

    /// The part of a vector at right angles to the basis: `(I − QQᵀ) v`.
    // [width] -> [width]
    pub(super) fn outside(&self, v: &[f64]) -> Vec<f64> {
        let mut rest = v.to_vec();
        for q in &self.0 {
            let along = dot(q, &rest);
            rest.iter_mut().zip(q).for_each(|(r, q)| *r -= along * q);
        }
        rest
    }
}

/// The leading right singular vectors of the rows, at most `most` and only those that the rows determine. Not centred.
// [n, width] -> [≤ most, width]
pub(super) fn leading(rows: &[Vec<f64>], most: usize) -> Result<Vec<Vec<f64>>, Error> {
    let width = rows.first().map_or(0, Vec::len);
    if most == 0 || width == 0 {
        return Ok(Vec::new());
    }
    let flat = rows.iter().flatten().copied().collect();
    let matrix = Array2::from_shape_vec((rows.len(), width), flat);
    let matrix = matrix.map_err(|e| Error::numerics("differences", e))?;
    let (_, values, right) =
        matrix.svd(false, true).map_err(|e| Error::numerics("differences", e))?.sort_svd_desc();
    let largest = values.first().copied().unwrap_or(0.0);
    let right = right.map(|v| v.outer_iter().map(|row| row.to_vec()).collect::<Vec<_>>());
    let determined = values.iter().take_while(|v| **v > NOISE * largest).count();
    Ok(right.unwrap_or_default().into_iter().take(most.min(determined)).collect())
}
