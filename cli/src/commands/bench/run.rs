//! Runs every case with its warm-up, prints a row as soon as it is measured, and the whole table at the end.

use super::config::{Bench, Case};
use super::measure::{self, Setup};
use super::report;
use crate::commands::opened::Opened;
use crate::commands::vectors;
use crate::console::Console;
use crate::error::{Error, Result};
use crate::progress::Work;
use trimtab_runtime::kv::BLOCK_LEN;

/// Measures every case and prints the results.
pub fn run(plan: &Bench, console: &Console) -> Result<()> {
    let (opened, steering) = vectors::open(&plan.opening, &plan.vectors, console)?;
    opened.warn_of_tokenizer(console);
    plan.cases.iter().try_for_each(|case| fits(case, &opened))?;
    let count = plan.cases.len();
    let work = Work::begin(console, &format!("running {count} tests"), count);
    let setup = Setup { opened: &opened, plan, steering: &steering, work: &work };
    let mut results = Vec::with_capacity(count);
    for case in &plan.cases {
        let timings = measure::case(&setup, case);
        if work.is_stopping() {
            return Err(Error::Interrupted);
        }
        results.extend(report::Line::of(case, timings?));
        work.done(1);
    }
    drop(work);
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
