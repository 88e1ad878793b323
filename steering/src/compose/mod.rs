//! Several vectors at once: how hard they may push together, and how they are made to conflict less.

pub mod dose;
mod error;
mod load;

pub use error::Error;

#[cfg(test)]
mod tests;
