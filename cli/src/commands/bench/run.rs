//! Runs every case with its warm-up, prints a row as soon as it is measured, and the whole table at the end.

use super::config::{Bench, Case};
use super::measure;
use super::measure::Setup;
use super::report;
use crate::commands::opened::{Opened, open};
use crate::commands::vectors::{self, Steering};
use crate::console::Console;
use crate::error::{Error, Result};
use crate::interrupt::Stoppable;
use crate::progress::Meter;
use trimtab_runtime::hub::Progress;
use trimtab_runtime::kv::BLOCK_LEN;

/// Measures every case and prints the results.
pub fn run(plan: &Bench, console: &Console) -> Result<()> {
    let sources = vectors::read(&plan.vectors)?;
    let opened = open(&plan.opening, console)?;
    opened.warn_of_tokenizer(console);
    let steering = Steering::open(sources, &plan.vectors, &opened, console)?;
    plan.cases.iter().try_for_each(|case| fits(case, &opened))?;
    let (meter, stoppable) = (Meter::new(console), Stoppable::begin());
    meter.begin_items(&format!("running {} tests", plan.cases.len()), plan.cases.len());
    let setup = Setup { opened: &opened, plan, steering: &steering, stoppable: &stoppable };
    let mut results = Vec::with_capacity(plan.cases.len());
    for case in &plan.cases {
        let timings = measure::case(&setup, case);
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

/// Refuses a test whose sequences the pool has no room for, before any test has run.
fn fits(case: &Case, opened: &Opened) -> Result<()> {
    let room = opened.model.pool().usage().blocks * BLOCK_LEN;
    if case.pool().is_some_and(|needed| needed <= room) {
        return Ok(());
    }
    let (test, batch) = (case.name(), case.batch);
    let problem = format!("has room for {room} tokens, too few for {test} of {batch} sequences");
    Err(Error::usage("--kv-memory", problem))
}
