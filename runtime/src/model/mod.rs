//! The frozen model: weight files, what they describe, and the one forward pass.
//!
//! Nothing in here has interior mutability: a decoder is shared between threads and sessions without a lock.

pub mod weights;

pub mod spec;

pub mod rope;

mod linear;

mod packed;

mod row;

mod visit;

mod block;

mod pass;

mod lane;

mod watch;

mod decoder;
mod head;
mod load;
mod names;

pub use decoder::Decoder;
pub use head::Head;
pub use load::{DEFAULT_CONTEXT, DecoderOptions, DenseType, WeightForm, read_spec};
pub use row::{LogitsAt, Output, Reading, Row, RowReadout, Want};
