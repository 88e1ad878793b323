//! An extraction whose states do not fit into the memory they may have: they are summed as they are read.

use super::config::{Extract, Start, partial};
use crate::console::Console;
use crate::error::{Error, Result};
use crate::interrupt::Stoppable;
use crate::progress::Meter;
use trimtab_runtime::generate::Flow;
use trimtab_runtime::hub::Progress;
use trimtab_steering::extract::{Extracted, Extraction};

/// Whether states are not kept: there are too many, and neither a shard nor an unfinished run asks for them.
pub fn is_due(plan: &Extract, extraction: &Extraction<'_>) -> bool {
    let resumed = plan.start == Start::Resumed && partial(&plan.out).exists();
    plan.shard.is_none() && !resumed && !extraction.fits(plan.memory)
}

/// Reads, and estimates on the way.
pub fn read(plan: &Extract, extraction: &Extraction<'_>, console: &Console) -> Result<Extracted> {
    let (items, sites) = (extraction.streamed(plan.memory)?, extraction.sites().len());
    console
        .note("states do not fit --state-memory: they are summed, and an interruption loses them");
    if plan.start == Start::Resumed {
        console.warn("--resume has nothing to go on with: states that do not fit are not kept");
    }
    let (meter, stoppable) = (Meter::new(console), Stoppable::begin());
    meter.begin_items(&format!("reading {items} items at {sites} sites"), items);
    let extracted = extraction.stream(plan.memory, &mut |items| {
        meter.advance(items as u64);
        if stoppable.is_stopping() { Flow::Cancel } else { Flow::Continue }
    });
    meter.end();
    match extracted {
        Err(trimtab_steering::Error::Cancelled) => Err(Error::Interrupted),
        extracted => Ok(extracted?),
    }
}
