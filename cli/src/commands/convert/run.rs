//! Reads a foreign file and shows what was understood before it writes; writes a native file for another program.

use super::config;
use super::config::ExportForm;
use crate::commands::opened::{Opened, open};
use crate::commands::table::{Column, markdown};
use crate::commands::vectors::{norms, read_any, unreadable};
use crate::console::Console;
use crate::document::Head;
use crate::error::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use trimtab_runtime::output::Named;
use trimtab_runtime::printable::Line;
use trimtab_runtime::site::Site;
use trimtab_steering::file::card::{Card, ModelPin, Operation, Pinned, Status};
use trimtab_steering::import::{self, ImportOptions, Imported};
use trimtab_steering::scope::Scope;
use trimtab_steering::{VectorFile, export};

#[derive(Serialize)]
struct ImportDocument<'a> {
    #[serde(flatten)]
    head: Head,
    file: &'a Path,
    detected: &'static str,
    operation: &'static str,
    layer_shift: Option<i64>,
    mapping: Vec<Mapped>,
    pinned: bool,
    output: Option<&'a Path>,
    content_sha256: &'a str,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Mapped {
    tensor: String,
    site: String,
    norm: f32,
    stream_norm: Option<f32>,
    dose_per_unit: Option<f32>,
}

/// Makes a vector file of another program's.
pub fn import(plan: &config::Import, console: &Console) -> Result<()> {
    let mut reads: Vec<Named> = plan.opening.iter().flat_map(crate::outputs::of_model).collect();
    reads.push(Named::new("FILE", &plan.file));
    let out: Vec<Named> = plan.out.iter().map(|path| Named::new("--out", path)).collect();
    crate::outputs::plan(&reads, &out, console)?;
    let (opened, imported, lengths) = match &plan.opening {
        None => {
            let imported = import::read(&plan.file, &plan.options).map_err(unreadable)?;
            (None, imported, BTreeMap::new())
        }
        Some(opening) => {
            readable(plan)?;
            let opened = open(opening, console)?;
            let (imported, lengths) = on_model(plan, &opened, console)?;
            (Some(opened), imported, lengths)
        }
    };
    let mapping = mapped(&imported, &lengths);
    if !console.is_json() {
        console.say(&understood(&imported, &mapping))?;
    }
    if let Some(out) = &plan.out {
        imported.file.save(out).map_err(Error::writing(out))?;
    }
    if console.is_json() {
        return console.print(&ImportDocument {
            head: opened.as_ref().map_or(Head::bare("import"), |opened| opened.head("import")),
            file: &plan.file,
            detected: imported.origin.evidence(),
            operation: imported.file.card().operation.kind(),
            layer_shift: plan.options.layer_shift,
            mapping,
            pinned: imported.file.card().model.is_some(),
            output: plan.out.as_deref(),
            content_sha256: imported.file.content_sha256(),
            warnings: &imported.warnings,
        });
    }
    match &plan.out {
        Some(out) => console.note(format!("wrote {}", out.display())),
        None => console.note("nothing was written; -o OUT writes the vector file"),
    }
    Ok(())
}

/// Refuses what is no vector file at all, before a model is opened. Which blocks there are is the model's to say.
fn readable(plan: &config::Import) -> Result<()> {
    match import::read(&plan.file, &plan.options) {
        Err(e) if e.code() == "layer_out_of_range" => Ok(()),
        read => read.map(drop).map_err(unreadable),
    }
}

/// Reads a file for a model: its sites must be there, it is pinned, and the stream is measured.
fn on_model(
    plan: &config::Import,
    opened: &Opened,
    console: &Console,
) -> Result<(Imported, BTreeMap<Site, f32>)> {
    let n_layers = Some(opened.model.decoder().spec().n_layers());
    let options = ImportOptions { n_layers, ..plan.options.clone() };
    let mut imported = import::read(&plan.file, &options).map_err(unreadable)?;
    let mut pin = ModelPin::of(&opened.model, Pinned::Import)?;
    if let Some(made_on) = &imported.file.card().model {
        // One of ours says what it was made on, and nothing else may be written over that.
        imported.file.admit(&pin, None)?;
        pin = made_on.clone();
    }
    let file = imported.file.pinned_to(pin)?;
    let sites: Vec<Site> = file.card().sites.keys().copied().collect();
    let lengths = norms(opened, &sites, console)?;
    imported.file = measured(&file, &lengths)?;
    Ok((imported, lengths))
}

/// The same file with the stream's length on its card.
fn measured(file: &VectorFile, lengths: &BTreeMap<Site, f32>) -> Result<VectorFile> {
    let mut card: Card = file.card().clone();
    for (site, entry) in &mut card.sites {
        entry.stream_norm = lengths.get(site).copied().or(entry.stream_norm);
    }
    Ok(VectorFile::new(card, file.directions().to_vec())?)
}

fn mapped(imported: &Imported, lengths: &BTreeMap<Site, f32>) -> Vec<Mapped> {
    let adds = imported.file.card().operation == Operation::Add;
    let one = |mapped: &import::Mapped| {
        let stream_norm = lengths.get(&mapped.site).copied();
        Mapped {
            tensor: mapped.tensor.clone(),
            site: mapped.site.to_string(),
            norm: mapped.norm,
            stream_norm,
            dose_per_unit: stream_norm.filter(|_| adds).map(|norm| mapped.norm / norm),
        }
    };
    imported.mapping.iter().map(one).collect()
}

fn understood(imported: &Imported, mapping: &[Mapped]) -> String {
    let card = imported.file.card();
    let mut lines = vec![
        format!("detected   {}", imported.origin.evidence()),
        format!("operation  {}, scale {}", card.operation.kind(), card.scale.default),
    ];
    lines.extend(imported.warnings.iter().map(|text| format!("warning    {}", Line(text))));
    let columns = [
        Column::Left("tensor"),
        Column::Left("acts at"),
        Column::Right("length"),
        Column::Right("stream"),
        Column::Right("dose of scale 1"),
    ];
    let number = |value: Option<f32>| value.map_or("-".to_owned(), |v| format!("{v:.3}"));
    let row = |m: &Mapped| {
        vec![
            m.tensor.clone(),
            m.site.clone(),
            format!("{:.4}", m.norm),
            number(m.stream_norm),
            number(m.dose_per_unit),
        ]
    };
    format!("{}\n\n{}\n", lines.join("\n"), markdown(&columns, mapping.iter().map(row).collect()))
}

#[derive(Serialize)]
struct ExportDocument<'a> {
    #[serde(flatten)]
    head: Head,
    file: &'a Path,
    format: &'static str,
    mode: &'static str,
    sites: Vec<String>,
    dropped: Vec<String>,
    scale: f32,
    output: &'a Path,
    sha256: String,
    warnings: Vec<String>,
}

/// Writes a vector file for another program.
pub fn export(plan: &config::Export, console: &Console) -> Result<()> {
    let reads = [Named::new("FILE", &plan.file)];
    crate::outputs::plan(&reads, &[Named::new("--out", &plan.out)], console)?;
    let source = read_any(&plan.file, &ImportOptions::default())?;
    let (exported, mode) = match plan.form {
        ExportForm::Added => (export::gguf(&source.file, plan.block_zero)?, "add"),
        ExportForm::Projected => (export::glp::project(&source.file, plan.block_zero)?, "project"),
    };
    let names = |sites: &[Site]| sites.iter().map(Site::to_string).collect::<Vec<_>>();
    let (sites, dropped) = (names(&exported.sites), names(&exported.dropped));
    let mut warnings = source.warnings;
    if plan.form == ExportForm::Projected {
        warnings.push("llama.cpp itself reads no glp.mode and would add these rows".to_owned());
    }
    if source.file.card().scope != Scope::all() {
        let lost = "the vector acts on some tokens only, and other programs apply the file to all";
        warnings.push(lost.to_owned());
    }
    if source.file.card().status == Status::Null {
        let nothing = "the vector was measured and has no effect, which no other program is told";
        warnings.push(nothing.to_owned());
    }
    if !dropped.is_empty() {
        warnings.push(format!("left out, and its edit is lost: {}", dropped.join(", ")));
    }
    if !console.is_json() {
        console.say_line(format!("mode       {mode}"))?;
        console.say_line(format!("sites      {}", sites.join(", ")))?;
        let line = |text: &String| console.say_line(format!("warning    {}", Line(text)));
        warnings.iter().try_for_each(line)?;
    }
    exported.save(&plan.out).map_err(Error::writing(&plan.out))?;
    if console.is_json() {
        return console.print(&ExportDocument {
            head: Head::bare("export"),
            file: &plan.file,
            format: "gguf",
            mode,
            sites,
            dropped,
            scale: exported.scale,
            output: &plan.out,
            sha256: trimtab_steering::file::sha256(&exported.bytes),
            warnings,
        });
    }
    console.note(format!("wrote {}", plan.out.display()));
    match plan.form {
        ExportForm::Added => console.say_line(format!(
            "--control-vector-scaled {}:{}",
            plan.out.display(),
            exported.scale
        )),
        ExportForm::Projected => Ok(()),
    }
}
