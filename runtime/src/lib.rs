//! Trimtab runtime: a frozen language model whose residual stream can be read, edited and rewound.
//!
//! Reading order is the order of the modules below, foundation first.

pub mod error;
pub mod filetype;
pub mod fingerprint;
pub mod json;
pub mod output;
pub mod printable;
pub mod site;

pub mod device;
mod kernels;

pub mod hub;

pub mod model;

pub mod kv;

pub mod sample;

pub mod hook;
pub mod plan;

pub mod session;

pub mod read;

pub mod text;

pub mod logits;

pub mod monitor;

pub mod group_sampling;

pub mod generate;

pub mod engine;

pub mod capture;
pub mod perplexity;

pub mod open;

#[cfg(feature = "testing")]
pub mod testing;

pub use error::{Error, Kind, Result};
pub use open::{Model, OpenOptions};

/// Compiles and runs the README's example.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// The tensors that hooks and captures speak of; candle's own type.
pub use candle_core::Tensor;
