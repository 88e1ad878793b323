//! What a model is told, or how it is pushed, when it is to try again.
//!
//! In words: a [`Catalogue`] has three texts for each principle, and [`aside`] makes tokens of one that the answer never shows.
//! As a direction: [`vector`] turns a text into a push on the residual stream that fades.

pub mod aside;
mod catalogue;
pub mod vector;

pub use aside::Asides;
pub use catalogue::{Catalogue, Level, axis_key};
pub use vector::{Guide, Push};
