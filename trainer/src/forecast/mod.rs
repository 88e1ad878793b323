//! How much would more thinking help?
//!
//! A small forecaster reads the pooled states of a frozen model and predicts the expected reward as a function of
//! *additional* tokens. The price per token is set at run time. The idea is Re-FORC's (arXiv 2511.02130); the
//! Beta-Binomial loss, the online pool, calibration, token accounting, baselines and the risk bound are ours.
//!
//! In reading order: [`grid`] says for which t forecasts are made, [`chain`] what a chain tells about them, [`pool`]
//! keeps the attention pool of a sequence, [`net`] turns it into a Beta distribution per t, [`beta_binomial`] scores
//! that, [`split`] and [`fit`] train it, [`calibrate`] mends it, [`stop`] ends a chain, [`index`] and [`allocate`] spread
//! tokens over chains and models, and [`risk`] bounds what a stopping threshold loses.
//!
//! Nothing here holds a language model or draws numbers of its own.

pub(crate) mod part;
mod real;
#[cfg(test)]
mod simulate;

pub mod allocate;
pub mod beta_binomial;
pub mod calibrate;
pub mod chain;
pub mod fit;
pub mod grid;
pub mod index;
pub mod net;
pub mod pool;
pub mod risk;
pub mod split;
pub mod stop;

pub use real::Real;
