//! Monitors that take words back: watches over an answer, rewinds, guidance, and the record of it all.
//!
//! A [`Perceiver`] looks at an unfolding answer and says what it found; a policy says what that means; the guard asks
//! its perceivers when they are due, rewinds within budgets, and writes everything down.

pub mod guidance;
pub mod perceive;
pub mod policy;
pub mod scorer;

pub use perceive::{Action, Finding, Perceiver, Perception};
