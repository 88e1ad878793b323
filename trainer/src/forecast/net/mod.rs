//! The forecaster: pooled states to a Beta distribution per grid point.
//!
//! Each head's pooled state goes through one shared projection to 16 numbers; with four scalars that makes 68 inputs
//! at four heads. A hidden layer of 64 tanh units follows, then two outputs per grid point:
//! `α = softplus(o_t) + 10⁻³`, `β = softplus(o_{T+t}) + 10⁻³`. Where α + β passes 1000 both are scaled down to that sum,
//! which keeps the mean; scaling, rather than clipping each, is ours. Beta outputs over pooled penultimate states are
//! reported of Re-FORC (arXiv 2511.02130); all sizes are ours. Nothing forces the mean to rise with t.
//!
//! Queries, projection and net are one set of [`ForecastWeights`], about 18 thousand at width 576. The gradient is
//! written by hand and goes from ∂L/∂α, ∂L/∂β to every weight and to the pooled states.

mod forward;
mod gradient;
mod weights;

pub(crate) use forward::MOST_SUM;
pub use forward::{Forecaster, NetTrace};
pub use weights::{ForecastShape, ForecastWeights, SCALARS};
