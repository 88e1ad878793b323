//! Directions in the residual stream, as files and as interventions.
//!
//! A *steering vector* is one unit direction per site with a card that says what it does, how strong one step is, and
//! on which model it was measured. This crate reads and writes such files ([`mod@file`]), takes those of other programs in
//! ([`import`]) and out ([`export`]), makes them of labelled examples ([`extract`]), turns them into an intervention of the
//! runtime's plan ([`steer`]), puts several together ([`compose`]) and measures what they do ([`mod@eval`]).
//!
//! ```no_run
//! use trimtab_runtime::{Model, plan::Plan, site::Site};
//! use trimtab_steering::{Steer, SteerOptions, VectorFile};
//!
//! let model = Model::open("smollm2-135m-instruct")?;
//! let site = Site::ResidPost(14);
//! let read = |text: &str| model.activations(&model.text_prompt(text)?, site);
//! let (sad, glad) = (read("What a sad day.")?.mean(), read("What a joyful day!")?.mean());
//! let file = VectorFile::from_difference("glad", site, &sad, &glad)?;
//! let plan = Plan::of(Steer::new(&file, &SteerOptions::default())?);
//! # Ok::<(), trimtab_steering::Error>(())
//! ```
//!
//! The feature `openapi` adds schemas to the types that stand in documents of HTTP.
//!
//! It is a crate of its own because the runtime must not know what a direction means: the runtime offers sites and
//! hooks, and everything here is an intervention bound to them, or makes one. Nothing here learns while serving: that is
//! `trimtab-adapters`.
#![forbid(unsafe_code)]

pub mod direction;
pub mod error;
pub mod scope;

pub mod file;

pub mod export;
pub mod import;

pub mod neutral;
pub mod pairs;
pub mod plot;

pub mod estimate;
pub mod extract;

pub mod gate;
pub mod schedule;

pub mod ops;
pub mod steer;

pub mod receipt;
pub mod stack;

pub mod compose;
pub mod eval;

pub mod monitor;
pub mod spec;

pub mod verify;

#[cfg(test)]
mod tests;

pub use direction::Direction;
pub use error::{Error, Result};
pub use file::VectorFile;
pub use steer::{Steer, SteerOptions};
