//! `adapters`: what was learnt for owners, in the state folder of a server that does not run or of `chat --adapt`; and the
//! proof, on the loaded model, that it learns and can be undone.

pub mod args;
mod diff;
mod prove;
mod run;
mod shelf;
pub mod tables;

pub use run::run;
