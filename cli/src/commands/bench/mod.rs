//! `bench`: how fast prompts are read and tokens are made. Rows of a batch really run together, and what is compared
//! runs in turn with what it is compared with.

mod arms;
mod measure;
mod numbers;
mod report;
mod spread;

use super::opened::open;
use crate::console::Console;
use crate::error::{Error, Result};
use crate::interrupt::Stoppable;
use crate::plan::Bench;
use crate::progress::Meter;
use trimtab_runtime::hub::Progress;

/// Measures every case and prints the results.
pub fn run(plan: &Bench, console: &Console) -> Result<()> {
    let opened = open(&plan.opening, console)?;
    let (meter, stoppable) = (Meter::new(console), Stoppable::begin());
    meter.begin_items(&format!("running {} tests", plan.cases.len()), plan.cases.len());
    let mut results = Vec::with_capacity(plan.cases.len());
    for case in &plan.cases {
        let timings = measure::case(&opened, case, plan, &stoppable);
        if stoppable.is_stopping() || timings.is_err() {
            meter.end();
        }
        if stoppable.is_stopping() {
            return Err(Error::Interrupted);
        }
        results.extend(report::Line::of(case, timings?));
        meter.advance(1);
    }
    meter.end();
    report::print(plan, &opened, results, console)
}
