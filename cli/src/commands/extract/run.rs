//! Reads the examples, runs them once, fits a direction at each site, and writes file and report; merges shards.

use super::args::MergeArgs;
use super::config::{self, Examples};
use super::examples;
use super::report::{self, Outcome, Written};
use crate::commands::opened::open;
use crate::commands::vectors::unreadable;
use crate::console::Console;
use crate::document::head;
use crate::error::{Error, Result};
use crate::outputs::named;
use crate::progress::Work;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use trimtab_runtime::generate::Flow;
use trimtab_runtime::output::{self, Named};
use trimtab_steering::extract::{Extracted, Extraction, Recipe, Shard, States};
use trimtab_steering::file::card::MethodName;
use trimtab_steering::file::sha256;
use trimtab_steering::pairs::Pairs;

/// How long a run goes on before its states are written beside the file.
const SAVE_EVERY: Duration = Duration::from_secs(20);

pub fn run(plan: &config::Extract, console: &Console) -> Result<()> {
    outputs(plan, console)?;
    let pairs = examples::read(plan, console)?;
    let recipe = recipe(plan, &pairs);
    recipe.check_with(&pairs)?;
    let opened = open(&plan.opening, console)?;
    let started = Instant::now();
    let extraction = Extraction::new(&opened.model, &pairs, &plan.sites, &recipe)?;
    examples::tell(extraction.left_out(), console);
    let vector = |extracted: &Extracted| {
        let written = write(extracted, &plan.out)?;
        if let Some(path) = &plan.args.plot {
            let title = format!("{}: candidates", recipe.name);
            extracted.report.draw(path, &title).map_err(Error::writing(path))?;
        }
        Ok::<_, Error>(Outcome::Vector(Box::new(written)))
    };
    let states;
    let outcome = if is_streamed(plan, &extraction) {
        vector(&streamed(plan, &extraction, console)?)?
    } else {
        states = read(plan, &extraction, console)?;
        match plan.args.shard {
            Some(_) => {
                states.save(&plan.out).map_err(Error::writing(&plan.out))?;
                Outcome::Shard(&states)
            }
            None => vector(&states.finish()?)?,
        }
    };
    // There may be none: it is only written by long runs, and by interrupted ones.
    std::fs::remove_file(plan.partial()).ok();
    let head = opened.head("extract");
    report::show(console, head, &outcome, (&plan.out, started.elapsed()))
}

/// Decides about the outputs before anything is read.
fn outputs(plan: &config::Extract, console: &Console) -> Result<()> {
    let mut reads = crate::outputs::of_model(&plan.opening);
    match &plan.data {
        Examples::Records(path, _) if examples::is_stdin(path) => {}
        Examples::Records(path, _) => reads.push(Named::new("--data", path)),
        Examples::Prompts { positive, negative } => reads.extend([
            Named::new("--positive-file", positive),
            Named::new("--negative-file", negative),
        ]),
    }
    let mut writes = vec![Named::new("--out", &plan.out)];
    writes.extend(named("--plot", &plan.args.plot));
    if output::is_file(&plan.out) {
        writes.push(Named::new("--out", plan.partial()));
    }
    let reading_too = is_probe(plan.recipe.method) && plan.args.shard.is_none();
    if reading_too && output::is_file(&plan.out) {
        writes.push(Named::new("--out", detector(&plan.out)));
    }
    crate::outputs::plan(&reads, &writes, console)?;
    if reading_too {
        two_files(&plan.out)?;
    }
    let unfinished = plan.partial();
    if !plan.args.resume && unfinished.exists() {
        let unfinished = unfinished.display();
        let problem = format!(
            "has an unfinished run in {unfinished}: --resume goes on with it; delete it to begin anew"
        );
        return Err(Error::usage("--out", problem));
    }
    Ok(())
}

/// Whether an estimator writes a second file, beside the first.
fn is_probe(method: MethodName) -> bool {
    matches!(method, MethodName::LinearProbe | MethodName::LogisticProbe)
}

/// Refuses a pipe or a device where two files are written.
fn two_files(out: &Path) -> Result<()> {
    match output::is_file(out) {
        true => Ok(()),
        false => {
            let problem = "is no regular file, and this method writes a second file beside it";
            Err(Error::usage("--out", problem))
        }
    }
}

pub fn merge(plan: &MergeArgs, console: &Console) -> Result<()> {
    let Some(out) = &plan.out else {
        return Err(Error::usage("--out", "is needed"));
    };
    let shards: Vec<Named> = named("SHARD", &plan.shards).collect();
    let mut writes = vec![Named::new("--out", out)];
    crate::outputs::plan(&shards, &writes, console)?;
    let started = Instant::now();
    let opened = plan.shards.iter().map(|path| States::open(path).map_err(unreadable));
    let states = States::merge(opened.collect::<Result<Vec<States>>>()?)?;
    if is_probe(states.method()) {
        two_files(out)?;
        writes.push(Named::new("--out", detector(out)));
        crate::outputs::plan(&shards, &writes, console)?;
    }
    let extracted = match plan.shuffle {
        None => states.finish()?,
        Some(seed) => states.control(seed)?,
    };
    let written = write(&extracted, out)?;
    let head = head("merge", None);
    report::show(console, head, &Outcome::Vector(Box::new(written)), (out, started.elapsed()))
}

/// The recipe with what its card says of the data, where the caller did not say it.
fn recipe(plan: &config::Extract, pairs: &Pairs) -> Recipe {
    let mut recipe = plan.recipe.clone();
    if recipe.contrast.is_empty() {
        recipe.contrast = pairs.shape.contrast().to_owned();
    }
    if recipe.summary.is_empty() {
        recipe.summary = format!("{} ({})", recipe.name, recipe.contrast);
    }
    recipe
}

/// Work on items at the sites of an extraction.
fn reading<'a>(items: usize, extraction: &Extraction<'_>, console: &'a Console) -> Work<'a> {
    let sites = extraction.sites().len();
    Work::begin(console, &format!("reading {items} items at {sites} sites"), items)
}

/// Whether states are not kept: there are too many, and neither a shard nor an unfinished run asks for them.
fn is_streamed(plan: &config::Extract, extraction: &Extraction<'_>) -> bool {
    let resumed = plan.args.resume && plan.partial().exists();
    plan.args.shard.is_none() && !resumed && !extraction.fits(plan.memory())
}

/// Reads states that do not fit into the memory they may have: they are summed as they are read.
fn streamed(
    plan: &config::Extract,
    extraction: &Extraction<'_>,
    console: &Console,
) -> Result<Extracted> {
    let items = extraction.streamed(plan.memory())?;
    console
        .note("states do not fit --state-memory: they are summed, and an interruption loses them");
    if plan.args.resume {
        console.warn("--resume has nothing to go on with: states that do not fit are not kept");
    }
    let work = reading(items, extraction, console);
    Ok(extraction.stream(plan.memory(), &mut |items| work.done(items))?)
}

/// Reads states, from the beginning or from where an interrupted run ended.
fn read(plan: &config::Extract, extraction: &Extraction<'_>, console: &Console) -> Result<States> {
    let (path, shard) = (plan.partial(), plan.args.shard.unwrap_or(Shard::WHOLE));
    // Nothing can be kept beside a pipe.
    let keeps = output::is_file(&plan.out);
    let mut states = if plan.args.resume && path.exists() {
        let states = States::open(&path).map_err(unreadable)?;
        extraction.check_resumed(&states, shard)?;
        states
    } else {
        if plan.args.resume {
            console.warn(format!("there is no {}: everything is read anew", path.display()));
        }
        extraction.begin(shard, plan.memory())?
    };
    let work = reading(extraction.remaining(&states), extraction, console);
    let (mut saved, mut unsaved) = (Instant::now(), None);
    let flow = extraction.read(&mut states, &mut |states, items| {
        let flow = work.done(items);
        if keeps && saved.elapsed() > SAVE_EVERY && extraction.remaining(states) > 0 {
            unsaved = states.save(&path).err();
            saved = Instant::now();
        }
        if unsaved.is_some() { Flow::Cancel } else { flow }
    });
    drop(work);
    if let Some(error) = unsaved {
        return Err(Error::writing(&path)(error));
    }
    if flow? == Flow::Cancel && extraction.remaining(&states) > 0 {
        if !keeps {
            return Err(Error::Interrupted);
        }
        states.save(&path).map_err(Error::writing(&path))?;
        console.tell_always(format!("kept what was read in {}; --resume goes on", path.display()));
        return Err(Error::Interrupted);
    }
    Ok(states)
}

/// Writes the vector, and the direction that detects beside it.
fn write(extracted: &Extracted, out: &Path) -> Result<Written> {
    let bytes = extracted.file.to_bytes()?;
    let read =
        extracted.read.as_ref().map(|read| Ok::<_, Error>((detector(out), read.to_bytes()?)));
    let read = read.transpose()?;
    if read.is_some() {
        two_files(out)?;
    }
    let all =
        std::iter::once((out, &bytes)).chain(read.iter().map(|(path, b)| (path.as_path(), b)));
    for (path, bytes) in all {
        trimtab_steering::file::write(path, bytes).map_err(Error::writing(path))?;
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
fn detector(out: &Path) -> PathBuf {
    let suffix = out.extension().map(|e| e.to_string_lossy().into_owned());
    out.with_extension(match suffix {
        Some(suffix) => format!("read.{suffix}"),
        None => "read".to_owned(),
    })
}
