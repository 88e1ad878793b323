//! `extract`: examples become a vector file and a report; `merge`: shards of one job become the same file.

mod picture;
mod report;

use super::opened::open;
use crate::console::Console;
use crate::document::Head;
use crate::error::{Error, Result};
use crate::interrupt::Stoppable;
use crate::plan::{self, Start};
use crate::progress::Meter;
use report::{Outcome, Written};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use trimtab_runtime::generate::Flow;
use trimtab_runtime::hub::Progress;
use trimtab_steering::extract::{Extracted, Extraction, Recipe, STATE_BYTES, Shard, States};
use trimtab_steering::file::sha256;
use trimtab_steering::pairs::Pairs;

/// How long a run goes on before its states are written beside the file.
const SAVE_EVERY: Duration = Duration::from_secs(20);

/// Extracts.
pub fn run(plan: &plan::Extract, console: &Console) -> Result<()> {
    for path in [Some(&plan.out), plan.plot.as_ref()].into_iter().flatten() {
        writable(path)?;
    }
    let pairs = Pairs::open(&plan.data, plan.bad)?;
    pairs.findings.iter().for_each(|finding| console.warn(format!("{finding}; it is left out")));
    let opened = open(&plan.opening, console)?;
    let started = Instant::now();
    let recipe = recipe(plan, &pairs);
    let extraction = Extraction::new(&opened.model, &pairs, &plan.sites, &recipe)?;
    let states = read(plan, &extraction, console)?;
    let outcome = match plan.shard {
        Some(_) => {
            states.save(&plan.out)?;
            Outcome::Shard(&states)
        }
        None => {
            let extracted = states.finish()?;
            let written = write(&extracted, &plan.out)?;
            if let Some(path) = &plan.plot {
                picture::write(path, &recipe.name, &extracted.report)?;
            }
            Outcome::Vector(Box::new(written))
        }
    };
    // There may be none: it is only written by long runs, and by interrupted ones.
    std::fs::remove_file(partial(&plan.out)).ok();
    let head = opened.head("extract");
    report::show(console, head, &outcome, (&plan.out, started.elapsed()))
}

/// Whether there is a folder for a file that is written long after now.
fn writable(path: &Path) -> Result<()> {
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    match std::fs::metadata(folder) {
        Ok(about) if about.is_dir() => Ok(()),
        Ok(_) => Err(failed(path, std::io::ErrorKind::NotADirectory.into())),
        Err(source) => Err(failed(path, source)),
    }
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    trimtab_steering::Error::Io { path: path.to_owned(), source }.into()
}

/// Merges.
pub fn merge(plan: &plan::Merge, console: &Console) -> Result<()> {
    writable(&plan.out)?;
    let started = Instant::now();
    let shards: Result<Vec<States>, _> =
        plan.shards.iter().map(|path| States::open(path)).collect();
    let states = States::merge(shards?)?;
    let extracted = match plan.shuffle {
        None => states.finish()?,
        Some(seed) => states.control(seed)?,
    };
    let written = write(&extracted, &plan.out)?;
    let head = Head::bare("merge");
    report::show(console, head, &Outcome::Vector(Box::new(written)), (&plan.out, started.elapsed()))
}

/// The recipe with what its card says of the data, where the caller did not say it.
fn recipe(plan: &plan::Extract, pairs: &Pairs) -> Recipe {
    let mut recipe = plan.recipe.clone();
    if recipe.contrast.is_empty() {
        recipe.contrast = pairs.shape.contrast().to_owned();
    }
    if recipe.summary.is_empty() {
        recipe.summary = format!("{} ({})", recipe.name, recipe.contrast);
    }
    recipe
}

/// Reads states, from the beginning or from where an interrupted run ended.
fn read(plan: &plan::Extract, extraction: &Extraction<'_>, console: &Console) -> Result<States> {
    let (path, shard) = (partial(&plan.out), plan.shard.unwrap_or(Shard::WHOLE));
    let mut states = match plan.start {
        Start::Resumed if path.exists() => {
            let states = States::open(&path)?;
            extraction.check_resumed(&states, shard)?;
            states
        }
        Start::Resumed => {
            console.warn(format!("there is no {}: everything is read anew", path.display()));
            extraction.begin(shard, STATE_BYTES)?
        }
        Start::Anew => extraction.begin(shard, STATE_BYTES)?,
    };
    let (meter, stoppable) = (Meter::new(console), Stoppable::begin());
    let remaining = extraction.remaining(&states);
    let sites = extraction.sites().len();
    meter.begin_items(&format!("reading {remaining} items at {sites} sites"), remaining);
    let (mut saved, mut unsaved) = (Instant::now(), None);
    let flow = extraction.read(&mut states, &mut |states, items| {
        meter.advance(items as u64);
        if saved.elapsed() > SAVE_EVERY && extraction.remaining(states) > 0 {
            unsaved = states.save(&path).err();
            saved = Instant::now();
        }
        let stops = stoppable.is_stopping() || unsaved.is_some();
        if stops { Flow::Cancel } else { Flow::Continue }
    });
    meter.end();
    if let Some(error) = unsaved {
        return Err(error.into());
    }
    if flow? == Flow::Cancel && extraction.remaining(&states) > 0 {
        states.save(&path)?;
        console.tell_always(format!("kept what was read in {}; --resume goes on", path.display()));
        return Err(Error::Interrupted);
    }
    Ok(states)
}

/// Where an interrupted run keeps what it has read.
fn partial(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// Writes the vector, and the direction that detects beside it.
fn write(extracted: &Extracted, out: &Path) -> Result<Written> {
    let bytes = extracted.file.to_bytes()?;
    let read = extracted.read.as_ref().map(|read| Ok::<_, Error>((reading(out), read.to_bytes()?)));
    let read = read.transpose()?;
    trimtab_steering::file::write(out, &bytes)?;
    if let Some((path, bytes)) = &read {
        trimtab_steering::file::write(path, bytes)?;
    }
    Ok(Written {
        sha256: sha256(&bytes),
        content_sha256: extracted.file.content_sha256().to_owned(),
        card: extracted.file.card().clone(),
        read: read.map(|(path, _)| path),
        report: extracted.report.clone(),
    })
}

/// `calm.safetensors` gets `calm.read.safetensors` beside it.
fn reading(out: &Path) -> PathBuf {
    let suffix = out.extension().map(|e| e.to_string_lossy().into_owned());
    out.with_extension(match suffix {
        Some(suffix) => format!("read.{suffix}"),
        None => "read".to_owned(),
    })
}
