//! A token turned toward the direction, in the plane of both, its length kept.

use super::rows::{dot, norm};
use super::{Edited, Force};

/// Below this share of a token's length the part beside the direction is rounding noise, and no plane to turn in.
const ALIGNED: f64 = 1e-6;

#[derive(Debug, Clone)]
pub(crate) struct Rotate {
    /// `v`, `[d_model]`.
    pub(crate) row: Vec<f32>,
    /// `s·degrees`, in radians. Below 0 it turns away.
    pub(crate) angle: f64,
}

impl Rotate {
    /// With `x = p·v + q·w` and `w` a unit row at a right angle to `v`, `(p, q)` is turned by the angle.
    // x [d_model], changed in place
    pub(crate) fn apply(&self, x: &mut [f32], Force(factor): Force) -> Edited {
        let along = dot(x, &self.row);
        let part = |x: f32, v: f32| f64::from(x) - along * f64::from(v);
        let beside = x.iter().zip(&self.row).map(|(x, v)| part(*x, *v).powi(2)).sum::<f64>().sqrt();
        if beside <= ALIGNED * norm(x) {
            return Edited::Kept;
        }
        let (sin, cos) = (factor * self.angle).sin_cos();
        let turned = along * cos + beside * sin;
        let rest = (beside * cos - along * sin) / beside;
        let moved = |x: f32, v: f32| (turned * f64::from(v) + rest * part(x, v)) as f32;
        x.iter_mut().zip(&self.row).for_each(|(x, v)| *x = moved(*x, *v));
        Edited::Changed
    }
}
