//! Which vectors act, as far as that can be said without their files.

pub mod vectors;

pub use vectors::{Asked, Vectors};
