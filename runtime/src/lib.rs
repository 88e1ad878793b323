//! Trimtab runtime.

pub mod model;
pub mod text;
