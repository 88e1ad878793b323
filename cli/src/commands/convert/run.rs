//! Reads a foreign file and shows what was understood before it writes; writes a native file for another program.

use super::args::{ExportArgs, ImportArgs, To};
use crate::commands::opened::{Opened, head, open};
use crate::commands::table::{markdown, number};
use crate::commands::vectors::{norms, unreadable};
use crate::console::Console;
use crate::document::{self, Fields};
use crate::error::{Error, Result};
use crate::flags::model::if_named;
use crate::outputs::named;
use std::collections::BTreeMap;
use std::path::Path;
use trimtab_runtime::output::Named;
use trimtab_runtime::printable::Line;
use trimtab_runtime::site::Site;
use trimtab_steering::export::BlockZero;
use trimtab_steering::file::card::{Card, ModelPin, Operation, Pinned, Status};
use trimtab_steering::import::{self, ImportOptions, Imported, Mapped, Zeros};
use trimtab_steering::scope::Scope;
use trimtab_steering::{VectorFile, export};

/// Makes a vector file of another program's.
pub fn import(args: ImportArgs, console: &Console) -> Result<()> {
    let opening = if_named(args.model)?;
    let mut reads: Vec<Named> = opening.iter().flat_map(crate::outputs::of_model).collect();
    reads.push(Named::new("FILE", &args.file));
    let writes: Vec<Named> = named("--out", &args.out).collect();
    crate::outputs::plan(&reads, &writes, console)?;
    let options = ImportOptions {
        name: args.name,
        layer_shift: args.layer_shift,
        n_layers: None,
        effect: args.op,
        site: args.site,
        shape: args.shape,
        zeros: if args.skip_zeros { Zeros::Skip } else { Zeros::Refuse },
    };
    let source = (args.file.as_path(), &options);
    let (opened, imported, lengths) = match &opening {
        None => {
            let imported = import::read(&args.file, &options).map_err(unreadable)?;
            (None, imported, BTreeMap::new())
        }
        Some(opening) => {
            readable(source)?;
            let opened = open(opening, console)?;
            let (imported, lengths) = on_model(source, &opened, console)?;
            (Some(opened), imported, lengths)
        }
    };
    let card = imported.file.card();
    if !console.is_json() {
        console.say(&understood(&imported, &lengths))?;
    }
    if let Some(out) = &args.out {
        imported.file.save(out).map_err(Error::writing(out))?;
    }
    if console.is_json() {
        let mapping = imported.mapping.iter().map(|mapped| {
            Fields::new("tensor", &mapped.tensor)
                .with("site", mapped.site.to_string())
                .with("norm", mapped.norm)
                .with("stream_norm", lengths.get(&mapped.site))
                .with("dose_per_unit", dose(card, mapped, &lengths))
        });
        let document = head("import", opened.as_ref())
            .with("file", &args.file)
            .with("detected", imported.origin.evidence())
            .with("operation", card.operation.kind())
            .with("layer_shift", args.layer_shift)
            .with("mapping", mapping.collect::<Vec<_>>())
            .with("pinned", card.model.is_some())
            .with("output", &args.out)
            .with("content_sha256", imported.file.content_sha256())
            .with("warnings", &imported.warnings);
        return console.print(&document);
    }
    match &args.out {
        Some(out) => console.note(format!("wrote {}", out.display())),
        None => console.note("nothing was written; -o OUT writes the vector file"),
    }
    Ok(())
}

/// Refuses what is no vector file at all, before a model is opened. Which blocks there are is the model's to say.
fn readable((file, options): (&Path, &ImportOptions)) -> Result<()> {
    match import::read(file, options) {
        Err(e) if e.code() == "layer_out_of_range" => Ok(()),
        read => read.map(drop).map_err(unreadable),
    }
}

/// Reads a file for a model: its sites must be there, it is pinned, and the stream is measured.
fn on_model(
    (file, options): (&Path, &ImportOptions),
    opened: &Opened,
    console: &Console,
) -> Result<(Imported, BTreeMap<Site, f32>)> {
    let n_layers = Some(opened.model.decoder().spec().n_layers());
    let options = ImportOptions { n_layers, ..options.clone() };
    let mut imported = import::read(file, &options).map_err(unreadable)?;
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

/// The dose of scale 1, where it is known beforehand.
fn dose(card: &Card, mapped: &Mapped, lengths: &BTreeMap<Site, f32>) -> Option<f32> {
    let stream = lengths.get(&mapped.site).filter(|_| card.operation == Operation::Add)?;
    Some(mapped.norm / stream)
}

fn understood(imported: &Imported, lengths: &BTreeMap<Site, f32>) -> String {
    let card = imported.file.card();
    let mut lines = vec![
        format!("detected   {}", imported.origin.evidence()),
        format!("operation  {}, scale {}", card.operation.kind(), card.scale.default),
    ];
    lines.extend(imported.warnings.iter().map(|text| format!("warning    {}", Line(text))));
    let row = |m: &Mapped| {
        [
            m.tensor.clone(),
            m.site.to_string(),
            format!("{:.4}", m.norm),
            number(lengths.get(&m.site).copied(), 3),
            number(dose(card, m, lengths), 3),
        ]
    };
    let columns = "tensor;acts at;>length;>stream;>dose of scale 1";
    let table = markdown(columns, imported.mapping.iter().map(row));
    format!("{}\n\n{table}\n", lines.join("\n"))
}

/// Writes a vector file for another program.
pub fn export(args: &ExportArgs, console: &Console) -> Result<()> {
    // The one format there is.
    let To::Gguf = args.to;
    let reads = [Named::new("FILE", &args.file)];
    crate::outputs::plan(&reads, &[Named::new("--out", &args.out)], console)?;
    let source = import::open(&args.file, &ImportOptions::default()).map_err(unreadable)?;
    let block_zero = match (args.drop_block_0, args.keep_block_0) {
        (true, _) => BlockZero::Drop,
        (false, true) => BlockZero::Keep,
        (false, false) => BlockZero::Refuse,
    };
    let (exported, mode) = match args.glp {
        false => (export::gguf(&source.file, block_zero)?, "add"),
        true => (export::glp::project(&source.file, block_zero)?, "project"),
    };
    let names = |sites: &[Site]| sites.iter().map(Site::to_string).collect::<Vec<_>>();
    let (sites, dropped) = (names(&exported.sites), names(&exported.dropped));
    let mut warnings = source.warnings;
    if args.glp {
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
    exported.save(&args.out).map_err(Error::writing(&args.out))?;
    if console.is_json() {
        let document = document::head("export", None)
            .with("file", &args.file)
            .with("format", "gguf")
            .with("mode", mode)
            .with("sites", sites)
            .with("dropped", dropped)
            .with("scale", exported.scale)
            .with("output", &args.out)
            .with("sha256", trimtab_steering::file::sha256(&exported.bytes))
            .with("warnings", warnings);
        return console.print(&document);
    }
    let out = args.out.display();
    console.note(format!("wrote {out}"));
    match args.glp {
        true => Ok(()),
        false => console.say_line(format!("--control-vector-scaled {out}:{}", exported.scale)),
    }
}
