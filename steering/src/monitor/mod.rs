//! Monitors that take words back: watches over an answer, rewinds, guidance, and the record of it all.
//!
//! A [`Detector`] looks at an unfolding answer and says what it found; a [`policy`] says what a judged state means; the
//! [`Guard`] asks its watches when they are due, rewinds within caps, guides what comes next, and writes everything down.
//! From "Cognition-of-Thought Elicits Social-Aligned Reasoning in Large Language Models" (arXiv 2509.23441): the states, which of
//! them are feasible, the sharpness of attention and the window of a rewind are the paper's; scoring by constrained labels, the
//! policies' tables, clean boundaries, asides, caps, holding text back and the record are ours.

pub mod detect;
pub mod guard;
pub mod guidance;
pub mod policy;
pub mod probe;
pub mod record;
pub mod scorer;
pub mod sharpness;
pub mod text;
pub mod watch;

pub use detect::{Action, Detection, Detector, Finding};
pub use guard::{Guard, Guidance, Records, RewindTo, Rules};
pub use probe::Probe;
pub use record::Record;
pub use text::Lexical;
pub use watch::{Cadence, Duty, Then, Watch};
