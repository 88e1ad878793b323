//! The estimators by name.

use super::algebra::random;
use super::classes::Classes;
use super::component::{Sign, of_differences, of_states};
use super::control::{Residue, shuffled};
use super::mean::Estimate;
use super::moments::Means;
use super::probe::{linear, logistic};
use crate::error::Result;
use crate::file::card::MethodName;

/// The shrinkage of the linear probe unless another is asked for.
pub const SHRINKAGE: f64 = 0.1;

/// How a direction is made of the states of both classes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Estimator {
    /// r = μ⁺ − μ⁻; PaLRS by how it is read, chosen and rescaled.
    Palrs,
    /// r = μ⁺ − μ⁻.
    MeanDifference,
    /// The largest component of Σδδᵀ, not centred. Needs pairs.
    PcaDifference,
    /// The largest component of all states about their common mean.
    PcaCentred,
    /// Linear discriminant: reads (S + κI)⁻¹r, writes S times that.
    LinearProbe {
        /// κ in units of tr(S)/width; 0 writes r itself. [`SHRINKAGE`] is the default.
        shrinkage: f64,
    },
    /// Logistic regression on differences: reads its weights, writes S_δ times them. Needs pairs.
    LogisticProbe,
    /// Control: uniform on the sphere, whatever the states say.
    Random {
        /// Its draw.
        seed: u64,
    },
    /// Control: the mean difference of shuffled labels, at its natural norm. See [`Estimator::shuffled`] for others.
    Shuffled {
        /// Its draw.
        seed: u64,
    },
}

impl Estimator {
    /// The name in a vector file.
    pub fn method(&self) -> MethodName {
        match self {
            Estimator::Palrs => MethodName::Palrs,
            Estimator::MeanDifference => MethodName::MeanDifference,
            Estimator::PcaDifference => MethodName::PcaDifference,
            Estimator::PcaCentred => MethodName::PcaCentred,
            Estimator::LinearProbe { .. } => MethodName::LinearProbe,
            Estimator::LogisticProbe => MethodName::LogisticProbe,
            Estimator::Random { .. } => MethodName::Random,
            Estimator::Shuffled { .. } => MethodName::Shuffled,
        }
    }

    /// The direction at one candidate.
    // [n, width], [m, width] -> [width]
    pub fn estimate(&self, classes: &Classes<'_>) -> Result<Estimate> {
        self.fit(classes, Sign::Identified)
    }

    /// The same estimator on labels that say nothing. Its gap is the one on those labels: its natural norm.
    // [n, width], [m, width] -> [width]
    pub fn shuffled(&self, classes: &Classes<'_>, seed: u64, residue: Residue) -> Result<Estimate> {
        shuffled(self, classes, (seed, residue))
    }

    pub(crate) fn fit(&self, classes: &Classes<'_>, sign: Sign) -> Result<Estimate> {
        let (positive, negative) = classes.moments()?;
        let means = Means::of(&positive, &negative)?;
        match self {
            Estimator::Palrs | Estimator::MeanDifference => {
                Estimate::along(means.distinct()?, None, &means)
            }
            Estimator::PcaDifference => of_differences(classes, &means, sign),
            Estimator::PcaCentred => of_states(classes, &means, sign),
            Estimator::LinearProbe { shrinkage } => linear(classes, &means, *shrinkage),
            Estimator::LogisticProbe => logistic(classes, &means),
            Estimator::Random { seed } => {
                Estimate::along(random(*seed, classes.width())?, None, &means)
            }
            Estimator::Shuffled { seed } => {
                Estimator::MeanDifference.shuffled(classes, *seed, Residue::Kept)
            }
        }
    }
}
