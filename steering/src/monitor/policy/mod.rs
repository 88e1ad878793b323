//! Policies: what is done in which state.

mod state;

pub use state::State;
