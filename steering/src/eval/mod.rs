//! What a vector does, measured beside its controls.
//!
//! A [`Task`] is items of one kind; a [`Rule`] judges answers by program. A [`Question`] puts every [`Arm`] to the same
//! items: the instruction in the prompt, no steering, the vector at its scales, and controls of equal length, which are
//! random directions and fits to shuffled labels. An effect counts when its interval clears what controls do and the
//! model still predicts ordinary text as well as before.
//!
//! The instruction stands first in every table, because it is what anyone can have without a vector, and it may win.

mod answers;
mod arm;
mod card;
mod choice;
mod control;
mod cost;
mod dose;
mod exact;
mod interval;
mod likelihood;
mod margins;
mod measure;
mod picture;
mod reply;
mod report;
mod rule;
mod subject;
mod task;
mod variety;

#[cfg(test)]
mod tests;

pub use answers::Answering;
pub use arm::Arm;
pub use card::{calibrated, evaluated};
pub use choice::{Choice, Cost, Limits, Point, choose};
pub use control::{random, shuffled};
pub use cost::costs;
pub use dose::Norms;
pub use interval::{DRAWS, Interval, bootstrap};
pub use margins::margins;
pub use measure::{Measured, Metric, Question};
pub use reply::{End, Reply};
pub use report::{Check, Line, Neutral, RANDOM_DIRECTIONS, Report, Setup, evaluate};
pub use rule::{Language, Rule};
pub use subject::Subject;
pub use task::{Goal, Item, Task};
pub use variety::Variety;

use trimtab_runtime::generate::Flow;

/// Something that happened while arms were measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// An arm, or another stage, began.
    Begun {
        /// Its name.
        what: &'a str,
        /// How much there is to do.
        items: usize,
    },
    /// So much more of it is done.
    Done {
        /// Items.
        items: usize,
    },
}

/// Hears events and says whether to go on.
pub type Progress<'a> = &'a mut dyn FnMut(Event) -> Flow;
