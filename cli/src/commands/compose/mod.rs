//! `compose`: one vector file from several, and what they do to each other.

mod document;
mod measured;
mod table;

use super::opened::{Opened, open};
use crate::console::Console;
use crate::error::{Error, Result};
use crate::plan::Compose;
use measured::Matrices;
use std::collections::BTreeMap;
use trimtab_runtime::site::Site;
use trimtab_steering::compose::dose::{Dosed, unmeasured};
use trimtab_steering::compose::interference::Interference;
use trimtab_steering::compose::{Part, Stream, compose};
use trimtab_steering::file::card::{ModelPin, Pinned};
use trimtab_steering::neutral::stream_norms;
use trimtab_steering::{SteerOptions, VectorFile};

/// Tokens over which the stream's length is measured.
const NORM_TOKENS: usize = 512;

/// Composes.
pub fn run(plan: &Compose, console: &Console) -> Result<()> {
    let files = plan.vectors.iter().map(|v| read(&v.path)).collect::<Result<Vec<_>>>()?;
    let parts: Vec<Part<'_>> = plan.vectors.iter().zip(&files).map(part).collect();
    let opened = plan.opening.as_ref().map(|opening| open(opening, console)).transpose()?;
    let stream = stream(&parts, opened.as_ref(), console)?;
    // A plan that cannot be composed is refused before anything is measured.
    compose(&parts, &plan.settings, &stream)?;

    let matrices = opened.as_ref().map(|o| Matrices::new(plan, o, console)).transpose()?.flatten();
    let before = matrices.as_ref().map(|m| m.before(&parts, &stream)).transpose()?;
    let kept = kept(&parts, before.as_ref(), console);
    let left: Vec<Part<'_>> = kept.iter().filter_map(|at| parts.get(*at).cloned()).collect();
    let composed = compose(&left, &plan.settings, &stream)?;
    let after = matrices.as_ref().map(|m| m.after(&composed, &kept, &stream)).transpose()?;
    let file = composed.file(&plan.name)?;
    file.save(&plan.out)?;

    let result = document::Outcome {
        plan,
        files: &files,
        kept: &kept,
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

fn read(path: &std::path::Path) -> Result<VectorFile> {
    VectorFile::open(path).map_err(|error| match error {
        trimtab_steering::Error::Io { path, source } => Error::Read { path, source },
        other => other.into(),
    })
}

fn part<'a>((ranked, file): (&crate::plan::Ranked, &'a VectorFile)) -> Part<'a> {
    let options = SteerOptions { scale: ranked.scale, ..SteerOptions::default() };
    Dosed { standing: ranked.standing, ..Dosed::new(file, &options) }.into()
}

/// The stream's length where the cards do not say it, on the model that the vectors are for.
fn stream(parts: &[Part<'_>], opened: Option<&Opened>, console: &Console) -> Result<Stream> {
    let Some(opened) = opened else {
        return Ok(Stream::default());
    };
    let pin = ModelPin::of(&opened.model, Pinned::Extract)?;
    for part in parts {
        part.dosed.file.admit(&pin, None)?;
    }
    let vectors: Vec<Dosed<'_>> = parts.iter().map(|part| part.dosed.clone()).collect();
    let sites: Vec<Site> = unmeasured(&vectors);
    if sites.is_empty() {
        return Ok(Stream::default());
    }
    console.debug(format!("measuring the stream at {} sites", sites.len()));
    let norms = stream_norms(&opened.model, &sites, NORM_TOKENS)?;
    let norms: BTreeMap<Site, f32> = norms.into_iter().map(|(s, norm)| (s, norm.median)).collect();
    Ok(Stream { norms, ..Stream::default() })
}

/// The vectors that move their own pairs; the others are dropped, and that is told. All of them without a matrix.
fn kept(parts: &[Part<'_>], before: Option<&Interference>, console: &Console) -> Vec<usize> {
    let failing = before.map(Interference::failing).unwrap_or_default();
    for at in &failing {
        if let Some(part) = parts.get(*at) {
            let name = &part.dosed.file.card().name;
            console.warn(format!("vector {name} does not move its own pairs, so it is left out"));
        }
    }
    (0..parts.len()).filter(|at| !failing.contains(at)).collect()
}
