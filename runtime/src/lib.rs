//! Trimtab runtime: a frozen language model whose residual stream can be read, edited and rewound.
//!
//! Reading order is the order of the modules below, foundation first.

pub mod error;
pub mod fingerprint;
pub mod site;

pub mod device;
mod kernels;

pub mod hub;
pub mod model;
pub mod text;
