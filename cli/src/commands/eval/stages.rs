//! Progress of an evaluation, arm by arm, and Ctrl-C.

use crate::console::Console;
use crate::interrupt::Stoppable;
use crate::progress::Meter;
use trimtab_runtime::generate::Flow;
use trimtab_runtime::hub::Progress;
use trimtab_steering::eval::Event;

/// The stages of an evaluation on stderr.
pub struct Stages<'a> {
    meter: Meter<'a>,
    stoppable: Stoppable,
}

impl<'a> Stages<'a> {
    /// Begins; from here on the first Ctrl-C ends the evaluation.
    pub fn begin(console: &'a Console) -> Stages<'a> {
        Stages { meter: Meter::new(console), stoppable: Stoppable::begin() }
    }

    /// Shows what happened.
    pub fn tell(&self, event: Event) -> Flow {
        match event {
            Event::Begun { what, items } => {
                self.meter.end();
                self.meter.begin_items(what, items);
            }
            Event::Done { items } => self.meter.advance(items as u64),
        }
        if self.stoppable.is_stopping() { Flow::Cancel } else { Flow::Continue }
    }

    /// Ends the last stage.
    pub fn end(&self) {
        self.meter.end();
    }
}
