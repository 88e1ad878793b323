//! The default model's real weights. Fetched once; without them these tests fail, they do not skip.

mod asides;
mod exact;
mod parity;
mod scorer;
mod vectors;
