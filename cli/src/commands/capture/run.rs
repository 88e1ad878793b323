//! Runs the rows, reads each site of each position, and writes one safetensors file.

use super::config::{self, Rows};
use super::rows;
use crate::commands::opened::open;
use crate::console::Console;
use crate::error::{Error, Result};
use crate::progress::Work;
use std::time::Instant;
use trimtab_runtime::capture::{Capture, Captured};
use trimtab_runtime::output::{self, Named, OutputError, Problem};

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

pub fn run(plan: &config::Capture, console: &Console) -> Result<()> {
    outputs(plan, console)?;
    let entries = rows::read(&plan.rows)?;
    let opened = open(&plan.opening, console)?;
    opened.warn_of_tokenizer(console);
    let rows = rows::tokens(&plan.rows, entries, &opened.model)?;
    let capture =
        Capture { rows, sites: plan.sites.clone(), scores: plan.scores, chunk: opened.chunk };

    let (count, started) = (capture.rows.len(), Instant::now());
    let work = Work::begin(console, &format!("capturing {count} rows"), count);
    let (decoder, pool) = (opened.model.decoder(), opened.model.pool());
    let written = capture.write(decoder, pool, &plan.out, &mut |done| work.done(done));
    drop(work);
    let Captured::Written { bytes } = written? else {
        return Err(Error::Interrupted);
    };
    if console.is_json() {
        let sites: Vec<String> = capture.sites.iter().map(ToString::to_string).collect();
        let document = opened
            .head("capture")
            .with("output", &plan.out)
            .with("bytes", bytes)
            .with("rows", count)
            .with("tokens", capture.rows.iter().map(Vec::len).sum::<usize>())
            .with("sites", sites)
            .with("seconds", started.elapsed().as_secs_f64());
        return console.print(&document);
    }
    console.note(format!("wrote {}: {bytes} bytes, {count} rows", plan.out.display()));
    Ok(())
}
