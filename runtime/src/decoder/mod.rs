//! The frozen model: weight files, what they describe, and the one forward pass.
//!
//! Nothing in here has interior mutability: a decoder is shared between threads and sessions without a lock.

pub mod weights;

pub mod spec;

pub mod rope;

mod linear;

mod batch;

mod row;

mod site_steps;

mod block;

mod pass;

mod backend;

mod attention_capture;

mod forward;
mod head;
mod load;
mod names;

pub use forward::Decoder;
pub use head::Head;
pub use load::{DEFAULT_CONTEXT, DecoderOptions, DenseType, WeightForm, read_spec};
pub use row::{LogitsAt, Output, Outputs, Row, RowReadout, WithFinal};
