//! The frozen model: weights, spec, and the one forward loop.

pub mod weights;
