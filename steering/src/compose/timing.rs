//! When a vector acts on the tokens of its scope.
//!
//! Pushes that always come together are one vector, and opposite ones cancel. Pushes that come at different times do not:
//! a gate that is shut, or a course that has died away, leaves the other one alone.

use crate::schedule::{Course, Span};
use crate::steer::SteerOptions;
use std::collections::BTreeSet;

/// When a vector acts on the tokens of its scope. The default is always, and in full.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timing {
    gate: Gated,
    course: Course,
    rests: BTreeSet<Span>,
}

/// Whether the stream decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Gated {
    #[default]
    Open,
    ByGate,
}

impl Timing {
    /// Of a vector that is applied with these options.
    pub fn of(options: &SteerOptions) -> Timing {
        let gate = if options.gate.is_some() { Gated::ByGate } else { Gated::Open };
        Timing {
            gate,
            course: options.schedule.course(),
            rests: options.schedule.rests().collect(),
        }
    }

    /// Whether it is known beforehand who else acts when this one does. A gate reads what others left in the stream, so even
    /// equal gates may decide differently.
    pub(super) fn is_known(&self) -> bool {
        self.gate == Gated::Open
    }
}
