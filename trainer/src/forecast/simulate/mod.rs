//! Curves and worlds for tests. Nothing here is a result about a language model.

mod curves;
mod spread;
mod stopping;

pub(crate) use curves::Curve;
