//! `policy check`: what a policy does in each state, what the scorer has to ask for it, and what in it looks wrong.

pub mod args;
mod run;

pub use run::run;
