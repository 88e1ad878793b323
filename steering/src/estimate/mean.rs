//! Differences of class means, and the estimate that every estimator returns.

use super::algebra::{dot, norm, unit};
use super::moments::{Means, Moments};
use crate::error::{Error, Result};

/// A direction with what the class means say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// The direction to steer with, of length 1.
    pub steer: Vec<f64>,
    /// The direction to detect with, of length 1, where it is another one.
    pub read: Option<Vec<f64>>,
    /// Mean projection on `steer` of positives minus negatives: one class gap, the file's magnitude.
    pub gap: f64,
    /// Mean projection of the negatives on `steer`.
    pub anchor: f64,
    /// The gap on `read`, or on `steer` where there is no `read`.
    pub read_gap: f64,
    /// The anchor on `read`, or on `steer` where there is no `read`.
    pub read_anchor: f64,
    /// ‖μ⁺‖, the length PaLRS rescales to.
    pub positive_norm: f64,
}

impl Estimate {
    /// An estimate along these directions, which are brought to length 1.
    // [width], [width]? -> [width]
    pub(crate) fn along(steer: Vec<f64>, read: Option<Vec<f64>>, means: &Means) -> Result<Self> {
        let none = || Error::NoDifference { candidates: 1 };
        let steer = unit(steer).ok_or_else(none)?;
        let read = read.map(|read| unit(read).ok_or_else(none)).transpose()?;
        let reads = read.as_ref().unwrap_or(&steer);
        let difference = means.difference();
        Ok(Estimate {
            gap: dot(&difference, &steer),
            anchor: dot(&means.negative, &steer),
            read_gap: dot(&difference, reads),
            read_anchor: dot(&means.negative, reads),
            positive_norm: norm(&means.positive),
            steer,
            read,
        })
    }

    /// The scale in class gaps that adds αû‖μ⁺‖, which at α = 1 is as long as the mean positive state (arXiv 2509.23982,
    /// eq. 4): α‖μ⁺‖/g.
    pub fn scale_at(&self, alpha: f64) -> f64 {
        alpha * self.positive_norm / self.gap
    }
}

/// r = μ⁺ − μ⁻ from sums alone. The length of r is the gap.
// [width], [width] -> [width]
pub fn mean_difference(positive: &Moments, negative: &Moments) -> Result<Estimate> {
    let means = Means::of(positive, negative)?;
    Estimate::along(means.distinct()?, None, &means)
}

/// The same r; PaLRS is this with [`super::Selection::PaperCosine`] and [`Estimate::scale_at`].
// [width], [width] -> [width]
pub fn palrs(positive: &Moments, negative: &Moments) -> Result<Estimate> {
    mean_difference(positive, negative)
}
