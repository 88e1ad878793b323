//! What is trained offline against a frozen backbone.
//!
//! [`forecast`] has the numerics of reward forecasts: pool, net, loss, calibration, stopping, allocation and the bound of
//! what a stopping threshold loses; [`ponder`] has those of a controller of steering strength: policy, advantages, net, reward
//! table and curriculum. Nothing here runs a model yet: rollouts through the token loop that serves, tasks,
//! rewards and checkpoints are to come, for controllers of under a million parameters.
//!
//! It is a crate of its own because it is the only user of optimisers, and the server must build
//! without one. It will not train the backbone, and nothing in it runs while a request is being answered.

mod adam;
mod draw;
mod error;
pub mod forecast;
pub mod ponder;
#[cfg(test)]
mod testing;

pub use error::TrainerError;
