//! The covariance of the stream at a site, as the metric in which read-outs are independent.
//!
//! A plain product of two directions ignores that activations are stretched: a read-out that was whitened, as a linear
//! discriminant is, looks along Σ⁻¹v. Mode `sigma` makes a vector invisible to those.

use super::algebra::Basis;
use super::error::Error;
use crate::file::sha256;
use linfa_linalg::cholesky::Cholesky;
use linfa_linalg::qr::LeastSquaresQr;
use linfa_linalg::triangular::{SolveTriangular, UPLO};
use ndarray::Array2;

/// Tokens per dimension below which a covariance is not believed.
const LEAST_TOKENS: usize = 2;

/// How far a covariance may be from its transpose, as a share of its largest value.
const SYMMETRIC: f64 = 1e-9;

/// A covariance that was shrunk towards a multiple of the identity, and its factor.
#[derive(Debug, Clone)]
pub struct Covariance {
    /// `L` of `Σ = L Lᵀ`.
    factor: Array2<f64>,
    sha256: String,
}

impl Covariance {
    /// From the covariance of `tokens` states, row by row, `[width, width]`:
    /// `Σ ← (1 − shrink) Σ + shrink · tr(Σ)/width · I`.
    // [width · width] -> [width, width]
    pub fn new(values: &[f64], tokens: usize, shrink: f64) -> Result<Self, Error> {
        let width = values.len().isqrt();
        if width == 0 || width * width != values.len() {
            return Err(Error::Covariance { problem: format!("has {} values", values.len()) });
        }
        if !(0.0..=1.0).contains(&shrink) {
            let expected = "a number from 0 to 1";
            return Err(Error::Setting { field: "shrink", value: shrink, expected });
        }
        if tokens < LEAST_TOKENS * width {
            let least = LEAST_TOKENS * width;
            let problem = format!("is of {tokens} tokens, at least {least} are needed");
            return Err(Error::Covariance { problem });
        }
        if values.iter().any(|v| !v.is_finite()) {
            return Err(Error::Covariance { problem: "has a value that is not finite".to_owned() });
        }
        let matrix = Array2::from_shape_vec((width, width), values.to_vec());
        let mut matrix = matrix.map_err(|e| Error::numerics("covariance", e))?;
        let skew = (&matrix - &matrix.t()).iter().fold(0.0, |most: f64, v| most.max(v.abs()));
        let largest = values.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
        if skew > SYMMETRIC * largest {
            return Err(Error::Covariance { problem: "is not symmetric".to_owned() });
        }
        let mean = matrix.diag().sum() / width as f64;
        matrix.mapv_inplace(|v| (1.0 - shrink) * v);
        matrix.diag_mut().mapv_inplace(|v| v + shrink * mean);
        let bytes: Vec<u8> = matrix.iter().flat_map(|v| v.to_le_bytes()).collect();
        let factor = matrix.cholesky().map_err(|_| Error::Covariance {
            problem: "is not positive definite after shrinkage".to_owned(),
        })?;
        Ok(Covariance { factor, sha256: sha256(&bytes) })
    }

    /// Width of the stream it is of.
    pub fn width(&self) -> usize {
        self.factor.nrows()
    }

    /// Of the shrunk matrix.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// `v − Q (QᵀΣ⁻¹Q)⁻¹ QᵀΣ⁻¹ v`: what is left of a vector when whitened read-outs along the basis must not see it.
    ///
    /// With `W = L⁻¹Q` that is `v − Q a`, `a` the least-squares solution of `W a = L⁻¹v`; no matrix is inverted.
    // [width] -> [width]
    pub(super) fn outside(&self, basis: &Basis, v: &[f64]) -> Result<Vec<f64>, Error> {
        if basis.rank() == 0 {
            return Ok(v.to_vec());
        }
        let whitened_basis = self.whiten(basis.rows())?;
        let whitened = self.whiten(&[v.to_vec()])?;
        let shares = whitened_basis.least_squares(&whitened);
        let shares = shares.map_err(|e| Error::numerics("protected subspace", e))?;
        let mut rest = v.to_vec();
        for (q, share) in basis.rows().iter().zip(shares.iter()) {
            rest.iter_mut().zip(q).for_each(|(r, q)| *r -= share * q);
        }
        Ok(rest)
    }

    /// `L⁻¹` times the vectors as columns.
    // [n, width] -> [width, n]
    pub(super) fn whiten(&self, rows: &[Vec<f64>]) -> Result<Array2<f64>, Error> {
        let (n, width) = (rows.len(), self.width());
        let columns = Array2::from_shape_fn((width, n), |(at, row)| {
            rows.get(row).and_then(|r| r.get(at)).copied().unwrap_or(f64::NAN)
        });
        let solved = self.factor.solve_triangular(&columns, UPLO::Lower);
        solved.map_err(|e| Error::numerics("covariance", e))
    }
}
