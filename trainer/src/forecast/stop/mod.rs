//! When a single chain stops.
//!
//! [`StopRule`] decides at each grid point. [`StopEpisode`] is a chain whose rewards are known at every grid point, on
//! which rules are compared: the best fixed length, a random stop, the oracle. [`price_for_budget`] chooses the price.

mod compare;
mod price;
mod rule;

pub use compare::{
    FixedLength, MeanOutcome, StopEpisode, StopOutcome, best_fixed, fixed, mean, oracle,
    random_stop,
};
pub use price::{PriceChoice, price_for_budget, tokens_per_point};
pub use rule::{StopAction, StopCause, StopDecision, StopHorizon, StopParams, StopRule};
