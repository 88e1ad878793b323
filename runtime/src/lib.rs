//! Trimtab runtime.

pub mod model;
