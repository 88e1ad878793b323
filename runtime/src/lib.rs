//! Trimtab runtime: a frozen language model whose residual stream can be read, edited and rewound.
//!
//! Reading order is the order of the modules below, foundation first.
//!
//! ```no_run
//! use trimtab_runtime::hook::Addition;
//! use trimtab_runtime::{Model, plan::Plan, site::Site, text::Message};
//!
//! let model = Model::open("smollm2-135m-instruct")?;
//! let glad = model.activations(&model.text_prompt("What a joyful day!")?, Site::ResidPost(14))?;
//! let plan = Plan::of(Addition::new(Site::ResidPost(14), glad.mean(), 0.2)?);
//! let answer = model.chat(&[Message::new("user", "How are you?")]).plan(plan).max_tokens(40).run()?;
//! println!("{}", answer.text);
//! # Ok::<(), trimtab_runtime::Error>(())
//! ```
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `cuda`, `cudnn`, `nccl` | NVIDIA GPUs |
//! | `metal`, `accelerate` | Apple's GPUs and vector library |
//! | `mkl` | Intel's vector library |
//! | `testing` | tiny models, laws for interventions and counters, for tests and benchmarks |
//!
//! None is a default.

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

pub mod chat;

#[cfg(feature = "testing")]
pub mod testing;

pub use error::{Error, Kind, Result};
pub use open::{Model, OpenOptions};

/// The tensors that hooks and captures speak of; candle's own type.
pub use candle_core::Tensor;
