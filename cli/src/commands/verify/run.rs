//! Runs the library's checks on the model and a vector, and shows each with its figure.

use super::config;
use crate::commands::opened::{Opened, open};
use crate::commands::vectors::{admit, read};
use crate::console::Console;
use crate::document::{Fields, version_line};
use crate::error::{Error, Result};
use crate::interrupt::Stoppable;
use crate::outputs::named;
use trimtab_runtime::generate::Flow;
use trimtab_steering::import::SourceFile;
use trimtab_steering::verify::{self as library, Check, Subject, Verdict};
use trimtab_steering::{SteerOptions, VectorFile};

/// A check; `passed` is null for one that was not made or cannot fail.
pub fn row(check: &Check) -> Fields {
    let passed = match check.verdict {
        Verdict::Passed => Some(true),
        Verdict::Failed => Some(false),
        Verdict::Skipped => None,
    };
    Fields::new("name", check.name)
        .with("passed", passed)
        .with("value", check.value)
        .with("limit", check.limit)
        .with("note", &check.note)
}

pub fn run(plan: &config::Verify, console: &Console) -> Result<()> {
    outputs(plan, console)?;
    let source = read(&plan.vectors)?.pop();
    let opened = open(&plan.opening, console)?;
    let (decoder, pool) = (opened.model.decoder(), opened.model.pool());
    let file = match &source {
        Some(source) => admitted(source, plan, &opened, console)?,
        None => library::throwaway(decoder, pool)?,
    };
    let asked = plan.vectors.files.first().and_then(|asked| asked.scale);
    let options = SteerOptions { scale: asked, null: plan.vectors.null, ..SteerOptions::default() };
    let subject = Subject { decoder, pool, file: &file, options: &options };
    let stoppable = Stoppable::begin();
    let checks = library::verify(&subject, plan.depth, &mut |check| {
        console.debug(format!("{} done", check.name));
        if stoppable.is_stopping() { Flow::Cancel } else { Flow::Continue }
    })?;
    if stoppable.is_stopping() {
        return Err(Error::Interrupted);
    }
    drop(stoppable);
    let failed = checks.iter().filter(|check| check.verdict == Verdict::Failed).count();
    let scale = asked.unwrap_or(file.card().scale.default);
    let text = report(&checks, &opened, &file, scale);
    if let Some(path) = &plan.report {
        trimtab_steering::file::write(path, text.as_bytes()).map_err(Error::writing(path))?;
    }
    if console.is_json() {
        let document = opened
            .head("verify")
            .with("file", source.as_ref().map(|source| source.path.display().to_string()))
            .with("sha256", source.map(|source| source.sha256))
            .with("vector", &file.card().name)
            .with("scale", scale)
            .with("passed", failed == 0)
            .with("checks", checks.iter().map(row).collect::<Vec<_>>());
        console.print(&document)?;
    } else {
        console.say(&text)?;
    }
    match failed {
        0 => Ok(()),
        _ => Err(Error::Check { failed: failures(&checks) }),
    }
}

/// Decides about the report before anything is read.
fn outputs(plan: &config::Verify, console: &Console) -> Result<()> {
    let mut reads = crate::outputs::of_model(&plan.opening);
    reads.extend(named("FILE", plan.vectors.files.iter().map(|asked| &asked.path)));
    crate::outputs::plan(&reads, &named("--report", &plan.report).collect::<Vec<_>>(), console)
}

/// The file, if the model takes it.
fn admitted(
    source: &SourceFile,
    plan: &config::Verify,
    opened: &Opened,
    console: &Console,
) -> Result<VectorFile> {
    let warnings = admit(&source.file, &opened.model, &plan.vectors.accept)?;
    let name = &source.file.card().name;
    warnings.iter().for_each(|warning| console.warn(format!("vector {name} {warning}")));
    source.warnings.iter().for_each(|text| console.warn(text));
    Ok(source.file.clone())
}

/// The checks that failed, by name.
fn failures(checks: &[Check]) -> String {
    let failed = checks.iter().filter(|check| check.verdict == Verdict::Failed);
    failed.map(|check| check.name).collect::<Vec<_>>().join(", ")
}

/// A block to paste: what was checked, on what, and what came out.
fn report(checks: &[Check], opened: &Opened, file: &VectorFile, scale: f32) -> String {
    let model = &opened.model;
    let mut lines = vec![
        version_line(),
        format!(
            "model   {} ({}, {}), weights {}",
            model.name(),
            model.identity().quantization,
            model.decoder().device().kind(),
            model.identity().weights_sha256.get(..12).unwrap_or_default(),
        ),
        format!(
            "vector  {} ×{scale}, {}, content {}",
            file.card().name,
            file.card().operation.kind(),
            file.content_sha256().get(..12).unwrap_or_default(),
        ),
        String::new(),
    ];
    lines.extend(checks.iter().map(line));
    lines.join("\n") + "\n"
}

/// A check on one line.
pub fn line(check: &Check) -> String {
    let verdict = match check.verdict {
        Verdict::Passed => "ok  ",
        Verdict::Failed => "FAIL",
        Verdict::Skipped => "-   ",
    };
    let number = |value: f64| {
        if value == value.round() { format!("{value}") } else { format!("{value:.3e}") }
    };
    let value = check.value.map(number).unwrap_or_default();
    let limit = check.limit.map(|limit| format!(" (limit {})", number(limit))).unwrap_or_default();
    format!("{verdict}  {:22} {value}{limit}  {}", check.name, check.note)
}
