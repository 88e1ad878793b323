//! Trimtab runtime.

pub mod hub;
pub mod model;
