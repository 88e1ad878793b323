//! Principal components whose sign is that of the classes, never that of the eigenvector.

use super::algebra::{dot, top_component};
use super::classes::Classes;
use super::mean::Estimate;
use super::moments::Means;
use crate::error::{Error, Result};
use ndarray::Array1;

/// How sure the sign of a component must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// The classes differ on it by two standard errors; anything less is an error.
    Identified,
    /// As the classes happen to lie: a control on shuffled labels has no sign to identify.
    AsFound,
}

/// The largest component of Σδδᵀ. It is not centred: centring would remove the mean difference itself.
// [n, width], [n, width] -> [width]
pub(crate) fn of_differences(classes: &Classes<'_>, means: &Means, sign: Sign) -> Result<Estimate> {
    let differences = classes.differences()?;
    let component = top_component(&differences)?;
    let along: Vec<f64> = differences.dot(&component).to_vec();
    let (mean, variance) = spread(&along);
    let error = (variance / along.len() as f64).sqrt();
    Estimate::along(signed(component, (mean, error), sign)?, None, means)
}

/// The largest component of all states of both classes about their common mean.
// [n, width], [m, width] -> [width]
pub(crate) fn of_states(classes: &Classes<'_>, means: &Means, sign: Sign) -> Result<Estimate> {
    let (n, m) = (classes.positives() as f64, classes.negatives() as f64);
    let both = means.positive.iter().zip(&means.negative);
    let common: Vec<f64> = both.map(|(p, q)| (n * p + m * q) / (n + m)).collect();
    let component = top_component(&classes.about(&common, &common)?)?;
    let (positive, negative) = classes.projections(component.as_slice().unwrap_or_default());
    let ((p, var_p), (q, var_q)) = (spread(&positive), spread(&negative));
    let error = (var_p / n + var_q / m).sqrt();
    Estimate::along(signed(component, (p - q, error), sign)?, None, means)
}

/// The component turned so that positives lie above negatives.
fn signed(component: Array1<f64>, (mean, error): (f64, f64), sign: Sign) -> Result<Vec<f64>> {
    // One item leaves the error undefined, and nothing is above that.
    let identified = mean != 0.0 && mean.abs() >= 2.0 * error;
    if sign == Sign::Identified && !identified {
        return Err(Error::SignNotIdentified { mean, error });
    }
    let turn = if mean < 0.0 { -1.0 } else { 1.0 };
    Ok((component * turn).to_vec())
}

/// Mean, and variance with divisor n − 1.
// [n] -> [], []
pub(crate) fn spread(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let about: Vec<f64> = values.iter().map(|x| x - mean).collect();
    (mean, dot(&about, &about) / (n - 1.0))
}
