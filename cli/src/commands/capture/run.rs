//! Runs the rows, reads each site of each position, and writes one safetensors file.

use super::config;
use super::config::Rows;
use super::rows;
use crate::commands::opened::open;
use crate::console::Console;
use crate::document::Head;
use crate::error::{Error, Result};
use crate::interrupt::Stoppable;
use crate::progress::Meter;
use serde::Serialize;
use std::path::Path;
use std::time::Instant;
use trimtab_runtime::capture::{Capture, Captured};
use trimtab_runtime::generate::Flow;
use trimtab_runtime::hub::Progress;
use trimtab_runtime::output::{self, Named, OutputError, Problem};

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    head: Head,
    output: &'a Path,
    bytes: u64,
    rows: usize,
    tokens: usize,
    sites: Vec<String>,
    seconds: f64,
}

/// Decides about the output before anything is read.
fn outputs(plan: &config::Capture, console: &Console) -> Result<()> {
    let mut reads = crate::outputs::of_model(&plan.opening);
    if let Rows::File { path, .. } = &plan.rows {
        reads.push(Named::new("--data", path));
    }
    crate::outputs::plan(&reads, &[Named::new("--out", &plan.out)], console)?;
    if output::is_file(&plan.out) {
        return Ok(());
    }
    Err(OutputError { flag: "--out", path: plan.out.clone(), problem: Problem::NoSeeking }.into())
}

/// Captures.
pub fn run(plan: &config::Capture, console: &Console) -> Result<()> {
    outputs(plan, console)?;
    let entries = rows::read(&plan.rows)?;
    let opened = open(&plan.opening, console)?;
    opened.warn_of_tokenizer(console);
    let rows = rows::tokens(&plan.rows, entries, &opened.model)?;
    let capture =
        Capture { rows, sites: plan.sites.clone(), scores: plan.scores, chunk: opened.chunk };

    let (meter, stoppable, started) = (Meter::new(console), Stoppable::begin(), Instant::now());
    let count = capture.rows.len();
    meter.begin_items(&format!("capturing {count} rows"), count);
    let (decoder, pool) = (opened.model.decoder(), opened.model.pool());
    let written = capture.write(decoder, pool, &plan.out, &mut |done| {
        meter.advance(done as u64);
        if stoppable.is_stopping() { Flow::Cancel } else { Flow::Continue }
    });
    meter.end();
    let Captured::Written { bytes } = written? else {
        return Err(Error::Interrupted);
    };
    if console.is_json() {
        return console.print(&Document {
            head: opened.head("capture"),
            output: &plan.out,
            bytes,
            rows: count,
            tokens: capture.rows.iter().map(Vec::len).sum(),
            sites: capture.sites.iter().map(ToString::to_string).collect(),
            seconds: started.elapsed().as_secs_f64(),
        });
    }
    console.note(format!("wrote {}: {bytes} bytes, {count} rows", plan.out.display()));
    Ok(())
}
