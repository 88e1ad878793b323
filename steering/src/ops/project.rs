//! `x − s·Σ_j row_scale_j·(x·v_j)·v_j`: at a force of 1 the rows' part of a token is gone, at 2 it is reflected.

use super::rows::dot;
use super::{Edited, Force};

/// Takes a share of the rows' part away.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    /// `v_j`, one row behind the other, `[rank, d_model]`.
    pub(crate) rows: Vec<f32>,
    /// `s·row_scale_j`, one per row.
    pub(crate) shares: Vec<f64>,
}

impl Project {
    // x [d_model], changed in place
    pub(crate) fn apply(&self, x: &mut [f32], Force(factor): Force) -> Edited {
        let width = x.len();
        let rows = || self.rows.chunks_exact(width);
        // All products are of the token as it came: the rows are at right angles only to within a tolerance.
        let removed: Vec<f64> =
            rows().zip(&self.shares).map(|(row, share)| factor * share * dot(x, row)).collect();
        for (row, length) in rows().zip(removed) {
            x.iter_mut()
                .zip(row)
                .for_each(|(x, v)| *x = (f64::from(*x) - length * f64::from(*v)) as f32);
        }
        Edited::Changed
    }
}
