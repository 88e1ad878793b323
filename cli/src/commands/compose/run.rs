//! Reads the files, composes their directions by priority, and writes the file with a report.

use super::config::Compose;
use super::document;
use super::measured::Matrices;
use super::table;
use crate::commands::opened::{Opened, open};
use crate::commands::vectors::norms;
use crate::console::Console;
use crate::error::{Error, Result};
use trimtab_runtime::output::Named;
use trimtab_steering::compose::dose::{Dosed, name_apart, sites};
use trimtab_steering::compose::interference::Interference;
use trimtab_steering::compose::{Part, Stream, compose};
use trimtab_steering::file::card::{ModelPin, Pinned};
use trimtab_steering::{SteerOptions, VectorFile};

/// Composes.
pub fn run(plan: &Compose, console: &Console) -> Result<()> {
    outputs(plan, console)?;
    let files = plan.vectors.iter().map(|v| read(&v.path)).collect::<Result<Vec<_>>>()?;
    let mut parts: Vec<Part<'_>> = plan.vectors.iter().zip(&files).map(part).collect();
    name_apart(parts.iter_mut().map(|part| &mut part.dosed.name));
    let opened = plan.opening.as_ref().map(|opening| open(opening, console)).transpose()?;
    let stream = stream(&parts, opened.as_ref(), console)?;
    // A plan that cannot be composed, or not to one file, is refused before anything is measured.
    compose(&parts, &plan.settings, &stream)?.file(&plan.name)?;

    let matrices = opened.as_ref().map(|o| Matrices::new(plan, o, console)).transpose()?.flatten();
    let before = matrices.as_ref().map(|m| m.before(&parts, &stream)).transpose()?;
    let (kept, left_out) = kept(&parts, before.as_ref());
    left_out.iter().for_each(|warning| console.warn(warning));
    let left: Vec<Part<'_>> = kept.iter().filter_map(|at| parts.get(*at).cloned()).collect();
    let composed = compose(&left, &plan.settings, &stream)?;
    let after = matrices.as_ref().map(|m| m.after(&composed, &kept, &stream)).transpose()?;
    let file = composed.file(&plan.name)?;
    file.save(&plan.out).map_err(Error::writing(&plan.out))?;

    let result = document::Outcome {
        plan,
        files: &files,
        kept: &kept,
        left_out,
        report: composed.report(),
        file: &file,
        before,
        after,
    };
    let notes = &composed.report().doses.notes;
    notes.iter().for_each(|note| console.warn(note));
    composed.report().findings.iter().for_each(|finding| console.warn(finding));
    if console.is_json() {
        return console.print(&document::of(&result, opened.as_ref())?);
    }
    console.say_line(table::of(&result))?;
    console.note(format!("wrote {}", plan.out.display()));
    Ok(())
}

/// Decides about the output before anything is read.
fn outputs(plan: &Compose, console: &Console) -> Result<()> {
    let mut reads: Vec<Named> = plan.opening.iter().flat_map(crate::outputs::of_model).collect();
    reads.extend(plan.vectors.iter().map(|vector| Named::new("FILE", &vector.path)));
    let pairs = plan.vectors.iter().filter_map(|vector| vector.pairs.as_ref());
    reads.extend(pairs.map(|path| Named::new("--pairs", path)));
    crate::outputs::plan(&reads, &[Named::new("--out", &plan.out)], console)
}

fn read(path: &std::path::Path) -> Result<VectorFile> {
    VectorFile::open(path).map_err(|error| match error {
        trimtab_steering::Error::Io { path, source } => Error::Read { path, source },
        other => other.into(),
    })
}

fn part<'a>((ranked, file): (&super::config::Ranked, &'a VectorFile)) -> Part<'a> {
    let options = SteerOptions { scale: ranked.scale, ..SteerOptions::default() };
    Dosed { standing: ranked.standing, ..Dosed::new(file, &options) }.into()
}

/// The stream's length on the model that the vectors are for. Without one there is only what the cards claim.
fn stream(parts: &[Part<'_>], opened: Option<&Opened>, console: &Console) -> Result<Stream> {
    let Some(opened) = opened else {
        console.note("doses are those of the files' own stream_norm; -m MODEL measures it");
        return Ok(Stream::default());
    };
    let pin = ModelPin::of(&opened.model, Pinned::Extract)?;
    for part in parts {
        part.dosed.file.admit(&pin, None)?;
    }
    let vectors: Vec<Dosed<'_>> = parts.iter().map(|part| part.dosed.clone()).collect();
    let norms = norms(opened, &sites(&vectors), console)?;
    Ok(Stream { norms, ..Stream::default() })
}

/// The vectors that move their own pairs, and what is to be told of the others. All of them without a matrix.
fn kept(parts: &[Part<'_>], before: Option<&Interference>) -> (Vec<usize>, Vec<String>) {
    let failing = before.map(Interference::failing).unwrap_or_default();
    let told = |part: &Part<'_>| {
        let name = &part.dosed.name;
        format!("vector {name} does not move its own pairs, so it is left out")
    };
    let left_out = failing.iter().filter_map(|at| parts.get(*at)).map(told).collect();
    let kept = (0..parts.len()).filter(|at| !failing.contains(at)).collect();
    (kept, left_out)
}
