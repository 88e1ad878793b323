//! The linear discriminant.

use crate::error::{Error, Result};
use crate::estimate::algebra::{not_solved, ridge_solve};
use crate::estimate::classes::Classes;
use crate::estimate::mean::Estimate;
use crate::estimate::moments::Means;
use ndarray::Array1;

/// Read w = (S + κI)⁻¹r, write Sw, with the pooled within-class covariance S and κ = shrinkage·tr(S)/width. Without
/// shrinkage Sw is r.
// [n, width], [m, width] -> [width], [width]
pub(crate) fn linear(classes: &Classes<'_>, means: &Means, shrinkage: f64) -> Result<Estimate> {
    if !(0.0..=1e6).contains(&shrinkage) {
        let problem = format!("is {shrinkage}, expected 0 to 1e6");
        return Err(Error::estimate("shrinkage", problem));
    }
    let r = Array1::from(means.distinct()?);
    let mut states = classes.about(&means.positive, &means.negative)?;
    let (n, width) = states.dim();
    // Each class mean takes a dimension away.
    if shrinkage == 0.0 && n < width + 2 {
        let reason = format!("{n} states do not span width {width}; use shrinkage");
        return Err(not_solved("covariance", reason));
    }
    states /= (n as f64).sqrt();
    let trace: f64 = states.iter().map(|x| x * x).sum();
    if trace == 0.0 {
        return Err(not_solved("covariance", "no class has any spread"));
    }
    let read = ridge_solve(&states, shrinkage * trace / width as f64, &r)?;
    let write = states.t().dot(&states.dot(&read));
    Estimate::along(write.to_vec(), Some(read.to_vec()), means)
}
