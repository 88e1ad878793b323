//! The class coordinate `c = (x·v − a)/m` put into a range: `x + s·(c′ − c)·m·v`.
//!
//! With both ends equal the coordinate is held at a set point. A token inside the range keeps its bits, and is not
//! counted as changed.

use super::rows::dot;
use super::{Edited, Force};

/// Moves a token's class coordinate into a range.
#[derive(Debug, Clone)]
pub(crate) struct Clamp {
    /// `v`, `[d_model]`.
    pub(crate) row: Vec<f32>,
    pub(crate) magnitude: f64,
    pub(crate) anchor: f64,
    /// Lower end, `-∞` for none.
    pub(crate) min: f64,
    /// Upper end, `∞` for none.
    pub(crate) max: f64,
    /// `s`, the share of the correction.
    pub(crate) share: f64,
}

impl Clamp {
    // x [d_model], changed in place
    pub(crate) fn apply(&self, x: &mut [f32], Force(factor): Force) -> Edited {
        let coordinate = (dot(x, &self.row) - self.anchor) / self.magnitude;
        // Not `clamp`, which panics where the ends are not in order.
        let wanted = coordinate.max(self.min).min(self.max);
        if wanted == coordinate {
            return Edited::Kept;
        }
        let length = factor * self.share * (wanted - coordinate) * self.magnitude;
        let moved = |x: f32, v: f32| (f64::from(x) + length * f64::from(v)) as f32;
        x.iter_mut().zip(&self.row).for_each(|(x, v)| *x = moved(*x, *v));
        Edited::Changed
    }
}
