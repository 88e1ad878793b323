//! Attention pooling of the states of a sequence.
//!
//! Head j weighs state i by the softmax over positions of `a_j·h_i/√d`; the pooled state is the weighted mean. The
//! method says "attention pooling"; four heads and learnt queries are ours, and so is the factor 1/√d, which keeps
//! scores of standardised states near the size of the query's entries whatever the width.
//!
//! A sequence that is being decoded keeps an online [`Pool`], O(d) per token and head. The fit pools whole chains at
//! all their prefixes ([`pool_prefixes`]) and needs the gradient of the queries. Both read states that are standardised
//! already. A prompt is pooled like the tokens after it: else a forecast before the first token could not depend on
//! the problem.

mod history;
mod online;
mod prefixes;
mod queries;

pub use history::{PoolHistory, PoolReplay};
pub use online::{Pool, PoolScalars, PoolToken};
pub use prefixes::{PooledChain, pool_prefixes};
pub use queries::PoolQueries;
