//! The one integration binary: the promises that no single module can keep alone.

#[cfg(test)] // Clippy then knows that helper functions below are test code.
mod tidy;

#[cfg(test)]
mod architectures;
#[cfg(test)]
mod batches;
#[cfg(test)]
mod candle;
#[cfg(test)]
mod folders;
#[cfg(test)]
mod generation;
#[cfg(test)]
mod halves;
#[cfg(test)]
mod hooks;
#[cfg(test)]
mod malformed;
#[cfg(test)]
mod prefixes;
#[cfg(test)]
mod real;
#[cfg(test)]
mod rewinds;
#[cfg(test)]
mod sessions;
