//! The model judges its own answers: a perceiver that scores labels instead of generating.
//!
//! The judge has a sequence of its own on the same model: instructions with the policy's principles, the request and the
//! answer so far as quoted data, a question. Its answer is never sampled. Each axis has three words of one token, and what
//! is compared are the probabilities of the twenty combinations that a [`State`](crate::monitor::policy::State) can be.
//! [`Form`] builds the tokens, [`Calibration`] says what the numbers of one build mean, [`Judge`] holds both and is shared
//! by all answers, [`Scorer`] follows one of them. [`Parser`] is the published way beside it: the model writes its verdict
//! and [`parse_verdict`] reads it strictly.
//!
//! A check that reads safety alone scores its three labels with biases of their own; the state it finds has the other
//! two axes undecided. Nothing here is a claim that a small model judges well: [`Calibration::allows_mandatory`] says
//! whether it can judge at all, and the documentation says how well.

mod calibration;
mod check;
mod form;
mod judge;
mod listen;
mod measure;
mod parser;
mod quote;
mod texts;
mod tree;
mod verdict;
mod walk;
mod wording;

#[cfg(test)]
mod tests;

pub use calibration::{Bound, Calibration, MOST_UNKNOWN, VERSION};
pub use check::Scorer;
pub use form::Form;
pub use judge::{Judge, Judging, MARGIN, Reading};
pub use listen::{listen, settle};
pub use parser::Parser;
pub use texts::{Injection, Split, Text, benign, content_free, injections};
pub use tree::{STATES, states};
pub use verdict::parse_verdict;
pub use walk::Depth;
pub use wording::Wording;
