//! Shows a file's card and directions, and with a model the doses that they would come to.

use super::args::InspectArgs;
use crate::commands::opened::{Opened, open};
use crate::commands::table::markdown;
use crate::commands::vectors::{self, Source, admit, norms, read_any};
use crate::console::Console;
use crate::document::Fields;
use crate::error::Result;
use crate::flags::model::if_named;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use trimtab_runtime::printable::Line;
use trimtab_runtime::site::Site;
use trimtab_steering::Steer;
use trimtab_steering::SteerOptions;
use trimtab_steering::compose::dose::{Dosed, Note, drift, short};
use trimtab_steering::file::card::{Card, ModelPin, Operation, Pinned, SiteCard};
use trimtab_steering::import::ImportOptions;

/// What is known about one file.
#[derive(Serialize)]
struct Document {
    command: &'static str,
    file: String,
    sha256: String,
    header: serde_json::Value,
    sites: Vec<Place>,
    #[serde(rename = "match")]
    fit: Option<Match>,
    warnings: Vec<String>,
}

/// One site of a file.
#[derive(Serialize)]
struct Place {
    site: String,
    derived_at: String,
    magnitude: Option<f32>,
    /// The stream's median length.
    stream_norm: Option<f32>,
    stream_norm_of: Option<Teller>,
    /// Dose of scale 1.
    dose_per_unit: Option<f32>,
    /// Dose of the default scale.
    dose: Option<f32>,
    auc: Option<f32>,
}

/// Who says how long the stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Teller {
    /// It was measured on the model.
    Model,
    /// The file claims it.
    File,
}

/// Whether a model takes a file.
#[derive(Serialize)]
struct Match {
    model: String,
    admitted: bool,
    refusal: Option<Refusal>,
}

/// Why a model takes no file.
#[derive(Serialize)]
struct Refusal {
    message: String,
    code: &'static str,
}

/// Shows files.
pub fn run(args: InspectArgs, console: &Console) -> Result<()> {
    let opening = if_named(args.model)?;
    let options = ImportOptions { layer_shift: args.layer_shift, ..ImportOptions::default() };
    let read = |path| read_any(path, &options);
    let sources: Vec<Source> =
        args.files.iter().map(|path| read(path.as_path())).collect::<Result<_>>()?;
    let model = opening.map(|opening| open(&opening, console)).transpose()?;
    let documents = sources.into_iter().map(|source| document(source, model.as_ref(), console));
    let documents: Vec<Document> = documents.collect::<Result<_>>()?;
    match (console.is_json(), documents.as_slice()) {
        (true, [one]) => console.print(one),
        (true, files) => console.print(&Fields::new("command", "inspect").with("files", files)),
        (false, all) => all.iter().try_for_each(|one| console.say(&shown(one))),
    }
}

fn document(source: Source, model: Option<&Opened>, console: &Console) -> Result<Document> {
    let Source { path, sha256, file, mut warnings } = source;
    let card = file.card();
    let mut measured = BTreeMap::new();
    let mut fit = None;
    if let Some(opened) = model {
        let pin = ModelPin::of(&opened.model, Pinned::Extract)?;
        let admitted = admit(&file, &pin, &[]);
        if let Ok(found) = &admitted {
            warnings.extend(found.iter().map(|warning| vectors::told(&card.name, warning)));
        }
        let spec = opened.model.decoder().spec();
        let sites: Vec<Site> = card.sites.keys().copied().collect();
        // A file for another shape has no dose here.
        if file.width() == spec.d_model && sites.iter().all(|s| s.exists_in(spec.n_layers())) {
            measured = norms(opened, &sites, console)?;
            let drift = drift(&Dosed::new(&file, &SteerOptions::default()), &measured);
            warnings.extend(drift.as_ref().map(Note::to_string));
        }
        fit = Some(Match {
            model: opened.model.name().to_owned(),
            admitted: admitted.is_ok(),
            refusal: admitted.err().map(|error| refusal(&error)),
        });
    }
    if let Err(error) = Steer::new(&file, &SteerOptions::default()) {
        warnings.push(error.to_string());
    }
    let places = card.sites.iter().map(|(site, entry)| place(card, *site, entry, &measured));
    let header = serde_json::from_str(&file.header()?).unwrap_or_default();
    Ok(Document {
        command: "inspect",
        file: named(&path),
        sha256,
        header,
        sites: places.collect(),
        fit,
        warnings,
    })
}

fn named(path: &Path) -> String {
    path.display().to_string()
}

fn refusal(error: &crate::error::Error) -> Refusal {
    let code = match error {
        crate::error::Error::Steering(error) => error.code(),
        _ => "operation_refused",
    };
    Refusal { message: error.to_string(), code }
}

fn place(card: &Card, site: Site, entry: &SiteCard, measured: &BTreeMap<Site, f32>) -> Place {
    let of_model = measured.get(&site).map(|norm| (*norm, Teller::Model));
    let told = of_model.or(entry.stream_norm.map(|norm| (norm, Teller::File)));
    let stream_norm = told.map(|(norm, _)| norm);
    // What a projection or a clamp does depends on the token.
    let per_unit = match card.operation {
        Operation::Add => entry.magnitude.zip(stream_norm).map(|(m, norm)| m / norm),
        Operation::Project | Operation::Clamp { .. } | Operation::Rotate { .. } => None,
    };
    Place {
        site: site.to_string(),
        derived_at: entry.derived_at.to_string(),
        magnitude: entry.magnitude,
        stream_norm,
        stream_norm_of: told.map(|(_, teller)| teller),
        dose_per_unit: per_unit,
        dose: per_unit.map(|dose| dose * card.scale.default.abs()),
        auc: entry.auc,
    }
}

/// A file for people.
fn shown(document: &Document) -> String {
    let header = &document.header;
    let line = |text: &str| Line(text).to_string();
    let text = |field: &str| line(header.get(field).and_then(|v| v.as_str()).unwrap_or("-"));
    let inner =
        |a: &str, b: &str| header.get(a).and_then(|v| v.get(b)).cloned().unwrap_or_default();
    let word = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => line(&text),
        serde_json::Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let mut lines = vec![
        format!("file       {}", line(&document.file)),
        format!("sha256     {}", document.sha256),
        format!("name       {}", text("name")),
        format!("summary    {}", text("summary")),
        format!("role       {}, {}", text("role"), text("status")),
        format!(
            "operation  {}, rank {}",
            word(inner("operation", "kind")),
            word(header["rank"].clone())
        ),
        format!(
            "scale      default {}, safe {}",
            word(inner("scale", "default")),
            word(inner("scale", "safe"))
        ),
        format!(
            "method     {}, {} pairs, position {}",
            word(inner("method", "name")),
            word(inner("method", "pairs")),
            word(inner("method", "position"))
        ),
        format!(
            "made on    {}, {}, {} blocks, width {}, weights {}",
            word(inner("model", "name")),
            word(inner("model", "quantization")),
            word(inner("model", "n_layers")),
            word(inner("model", "d_model")),
            word(inner("model", "weights_sha256")).chars().take(12).collect::<String>(),
        ),
        evaluated(&header["evaluation"]),
    ];
    if let Some(fit) = &document.fit {
        let verdict = match &fit.refusal {
            None => "takes it".to_owned(),
            Some(refusal) => format!("refuses it: {}", line(&refusal.message)),
        };
        lines.push(format!("model      {} {verdict}", fit.model));
    }
    let warning = |warning: &String| format!("warning    {}", line(warning));
    lines.extend(document.warnings.iter().map(warning));
    format!("{}\n\n{}\n", lines.join("\n"), table(&document.sites))
}

fn evaluated(evaluation: &serde_json::Value) -> String {
    let Some(response) = evaluation["response"].as_array() else {
        return "measured   nothing".to_owned();
    };
    let number = |value: &serde_json::Value| value.as_f64().unwrap_or(f64::NAN);
    let each = response.iter().map(|r| {
        let (scale, concept) = (number(&r["scale"]), number(&r["concept"]));
        format!("×{scale}: {concept:+.3} (KL {:.3})", number(&r["kl"]))
    });
    let random = number(&evaluation["random_p95"]);
    let all = each.collect::<Vec<_>>().join(", ");
    let shuffled = evaluation["shuffled_p95"].as_f64();
    let shuffled = shuffled.map(|p95| format!(", shuffled labels {p95:.3}")).unwrap_or_default();
    let n = &evaluation["n"];
    format!("measured   {n} items, {all}, random directions {random:.3}{shuffled}")
}

fn table(sites: &[Place]) -> String {
    let claimed = sites.iter().any(|place| place.stream_norm_of == Some(Teller::File));
    let stream = if claimed { "stream, says the file" } else { "stream" };
    let number = |value: Option<f32>| value.map_or("-".to_owned(), |value| short(f64::from(value)));
    let row = |place: &Place| {
        [
            place.site.clone(),
            place.derived_at.clone(),
            number(place.magnitude),
            number(place.stream_norm),
            number(place.dose_per_unit),
            number(place.dose),
            number(place.auc),
        ]
    };
    let columns =
        format!("site;derived at;>magnitude;>{stream};>dose of scale 1;>dose of default;>auc");
    markdown(&columns, sites.iter().map(row))
}
