//! Numbers, curves and worlds for tests. Nothing here is a result about a language model.

mod curves;
mod numbers;
mod spread;
mod stopping;

pub(crate) use curves::Curve;
pub(crate) use numbers::{Numbers, slope};
