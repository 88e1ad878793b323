//! Reads the files, composes their directions by priority, and writes the file with a report.

use super::config::Compose;
use super::measured::Matrices;
use super::{document, table};
use crate::commands::opened::{Opened, head, open};
use crate::commands::vectors::{admit, norms, unreadable};
use crate::console::Console;
use crate::error::{Error, Result};
use crate::flags::vectors::Asked;
use crate::outputs::named;
use trimtab_runtime::output::Named;
use trimtab_steering::compose::dose::{Dosed, name_apart, sites};
use trimtab_steering::compose::interference::Interference;
use trimtab_steering::compose::{Part, Stream, compose};
use trimtab_steering::{SteerOptions, VectorFile};

pub fn run(plan: &Compose, console: &Console) -> Result<()> {
    outputs(plan, console)?;
    let args = &plan.args;
    let read = |asked: &Asked| VectorFile::open(&asked.path).map_err(unreadable);
    let files = args.files.iter().map(read).collect::<Result<Vec<_>>>()?;
    let mut parts: Vec<Part<'_>> = args.files.iter().zip(&files).map(part).collect();
    for (at, part) in parts.iter_mut().enumerate() {
        part.dosed.standing = plan.standing(at);
    }
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
    file.save(&args.out).map_err(Error::writing(&args.out))?;

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
        return console.print(&document::of(head("compose", opened.as_ref()), &result)?);
    }
    console.say_line(table::of(&result))?;
    console.note(format!("wrote {}", args.out.display()));
    Ok(())
}

/// Decides about the output before anything is read.
fn outputs(plan: &Compose, console: &Console) -> Result<()> {
    let args = &plan.args;
    let mut reads: Vec<Named> = plan.opening.iter().flat_map(crate::outputs::of_model).collect();
    reads.extend(named("FILE", args.files.iter().map(|file| &file.path)));
    reads.extend(named("--pairs", &args.pairs));
    crate::outputs::plan(&reads, &[Named::new("--out", &args.out)], console)
}

fn part<'a>((asked, file): (&Asked, &'a VectorFile)) -> Part<'a> {
    let options = SteerOptions { scale: asked.scale, ..SteerOptions::default() };
    Dosed::new(file, &options).into()
}

/// The stream's length on the model that the vectors are for. Without one there is only what the cards claim.
fn stream(parts: &[Part<'_>], opened: Option<&Opened>, console: &Console) -> Result<Stream> {
    let Some(opened) = opened else {
        console.note("doses are those of the files' own stream_norm; -m MODEL measures it");
        return Ok(Stream::default());
    };
    for part in parts {
        admit(part.dosed.file, &opened.model, &[])?;
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
