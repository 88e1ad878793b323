//! The fit of a forecaster.
//!
//! AdamW on the Beta-Binomial log-likelihood, every problem weighing the same, early stopping on the calibrate part.
//! [`FitState`] holds everything that changes, random orders of all epochs included, so that a clone taken between two
//! steps continues to the same bits. Targets that are all alike are refused before the first step.

mod adamw;
mod params;
mod set;
mod state;
#[cfg(test)]
mod tests;

pub use params::FitParams;
pub use set::{FitChain, FitPrefix, FitSet};
pub use state::{EpochLoss, FitEnd, FitState, FitStatus, mean_loss};
