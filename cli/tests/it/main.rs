//! The binary from outside: what it prints where, and the number it ends with.
//!
//! Everything runs on a generated tiny model without a tokenizer, but for the module `real`.

#[cfg(test)] // Clippy then knows that helper functions below are test code.
mod kit;

#[cfg(test)]
mod controls;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod extract;
#[cfg(test)]
mod help;
#[cfg(test)]
mod learning;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod measures;
#[cfg(test)]
mod models;
#[cfg(test)]
mod outputs;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod prompts;
#[cfg(test)]
mod real;
#[cfg(test)]
mod receipts;
#[cfg(test)]
mod simulate;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod vectors;
