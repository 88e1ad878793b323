//! Stages that take time: a bar on a terminal, else one line at the start and one at the end.

use crate::console::Console;
use crate::interrupt::Stoppable;
use indicatif::{ProgressBar, ProgressStyle};
use std::cell::RefCell;
use std::io::IsTerminal;
use std::time::Instant;
use trimtab_runtime::generate::Flow;
use trimtab_runtime::hub::Progress;

/// Shows the stages of a download, or of counted work.
pub struct Meter<'a> {
    console: &'a Console,
    stage: RefCell<Option<Stage>>,
}

enum Stage {
    Bar(ProgressBar),
    Lines { name: String, since: Instant },
}

#[derive(Clone, Copy)]
enum Unit {
    Bytes,
    Items,
}

impl<'a> Meter<'a> {
    /// A meter on stderr.
    pub fn new(console: &'a Console) -> Meter<'a> {
        Meter { console, stage: RefCell::new(None) }
    }

    /// Begins work on so many things.
    pub fn begin_items(&self, name: &str, total: usize) {
        self.start(name, Some(total as u64), Unit::Items);
    }

    fn start(&self, name: &str, total: Option<u64>, unit: Unit) {
        if self.console.is_quiet() {
            return;
        }
        let stage = if std::io::stderr().is_terminal() {
            Stage::Bar(bar(name, total, unit))
        } else {
            self.console.note(name);
            Stage::Lines { name: name.to_owned(), since: Instant::now() }
        };
        self.stage.replace(Some(stage));
    }
}

impl Progress for Meter<'_> {
    fn begin(&self, stage: &str, total_bytes: Option<u64>) {
        self.start(stage, total_bytes, Unit::Bytes);
    }

    fn advance(&self, count: u64) {
        if let Some(Stage::Bar(bar)) = &*self.stage.borrow() {
            bar.inc(count);
        }
    }

    fn end(&self) {
        match self.stage.take() {
            None => {}
            Some(Stage::Bar(bar)) => bar.finish_and_clear(),
            Some(Stage::Lines { name, since }) => {
                self.console.note(format!("{name}: {:.1} s", since.elapsed().as_secs_f64()));
            }
        }
    }
}

fn bar(name: &str, total: Option<u64>, unit: Unit) -> ProgressBar {
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let form = match (total, unit) {
        (None, _) => "{msg} {bytes} {elapsed}",
        (Some(_), Unit::Bytes) => "{msg} {bar:30} {bytes}/{total_bytes} {eta}",
        (Some(_), Unit::Items) => "{msg} {bar:30} {pos}/{len} {eta}",
    };
    // The forms are constants; a bar without one is still a bar.
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style);
    }
    bar.with_message(name.to_owned())
}

/// Counted work that is shown, and that the first Ctrl-C stops.
pub struct Work<'a> {
    meter: Meter<'a>,
    stoppable: Stoppable,
}

impl<'a> Work<'a> {
    /// Work whose stages have not begun.
    pub fn new(console: &'a Console) -> Work<'a> {
        Work { meter: Meter::new(console), stoppable: Stoppable::begin() }
    }

    /// Work on so many things.
    pub fn begin(console: &'a Console, name: &str, total: usize) -> Work<'a> {
        let work = Work::new(console);
        work.meter.begin_items(name, total);
        work
    }

    /// The next stage of the work.
    pub fn stage(&self, name: &str, total: usize) {
        self.meter.end();
        self.meter.begin_items(name, total);
    }

    /// So many more are done; says whether to go on.
    pub fn done(&self, count: usize) -> Flow {
        self.meter.advance(count as u64);
        if self.is_stopping() { Flow::Cancel } else { Flow::Continue }
    }

    /// Whether Ctrl-C was pressed.
    pub fn is_stopping(&self) -> bool {
        self.stoppable.is_stopping()
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.meter.end();
    }
}
