//! `x + s·m·v`, and `x + s·‖x‖·v`.

use super::rows::norm;
use super::{Edited, Force};

/// Adds a constant vector.
#[derive(Debug, Clone)]
pub(crate) struct Add {
    /// `s·m·v`, `[d_model]`.
    pub(crate) offset: Vec<f32>,
}

impl Add {
    // x [d_model], changed in place
    pub(crate) fn apply(&self, x: &mut [f32], Force(factor): Force) -> Edited {
        let factor = factor as f32;
        // What has died away below the smallest f32 moves nothing.
        if factor == 0.0 {
            return Edited::Kept;
        }
        x.iter_mut().zip(&self.offset).for_each(|(x, v)| *x += factor * v);
        Edited::Changed
    }
}

/// Adds a share of the token's own length.
#[derive(Debug, Clone)]
pub(crate) struct AddRelative {
    /// `v`, `[d_model]`.
    pub(crate) row: Vec<f32>,
    pub(crate) scale: f64,
}

impl AddRelative {
    // x [d_model], changed in place
    pub(crate) fn apply(&self, x: &mut [f32], Force(factor): Force) -> Edited {
        let length = (factor * self.scale * norm(x)) as f32;
        x.iter_mut().zip(&self.row).for_each(|(x, v)| *x += length * v);
        Edited::Changed
    }
}
