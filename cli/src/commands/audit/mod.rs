//! `audit`: what monitors found in answers and took back, as a server has noted it.

pub mod args;
mod run;

pub use run::run;
