//! Shows a file's card and directions, and with a model the doses that they would come to.

use super::args::InspectArgs;
use crate::commands::opened::{Opened, open};
use crate::commands::table::markdown;
use crate::commands::vectors::{admit, norms, unreadable};
use crate::console::Console;
use crate::document::Fields;
use crate::error::{Error, Result};
use crate::flags::model::if_named;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use trimtab_runtime::printable::Line;
use trimtab_runtime::site::Site;
use trimtab_steering::Steer;
use trimtab_steering::SteerOptions;
use trimtab_steering::compose::dose::{Dosed, Note, drift, short};
use trimtab_steering::file::card::{Card, Operation, SiteCard};
use trimtab_steering::import::{self, ImportOptions, SourceFile};

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

/// Where the stream's length is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Teller {
    /// It was measured on the model.
    Model,
    /// The file claims it.
    File,
}

/// Whether a model takes a file: its name, and why it does not.
type Fit = (String, Option<Error>);

pub fn run(args: InspectArgs, console: &Console) -> Result<()> {
    let opening = if_named(args.model)?;
    let options = ImportOptions { layer_shift: args.layer_shift, ..ImportOptions::default() };
    let read = |path: &PathBuf| import::open(path, &options).map_err(unreadable);
    let sources: Vec<SourceFile> = args.files.iter().map(read).collect::<Result<_>>()?;
    let model = opening.map(|opening| open(&opening, console)).transpose()?;
    let files = sources.into_iter().map(|source| inspected(source, model.as_ref(), console));
    let (documents, texts): (Vec<Fields>, Vec<String>) =
        files.collect::<Result<Vec<_>>>()?.into_iter().unzip();
    match (console.is_json(), documents.as_slice()) {
        (true, [one]) => console.print(one),
        (true, files) => console.print(&Fields::new("command", "inspect").with("files", files)),
        (false, _) => texts.iter().try_for_each(|text| console.say(text)),
    }
}

/// What is known about a file: its document, and the same for people.
fn inspected(
    source: SourceFile,
    model: Option<&Opened>,
    console: &Console,
) -> Result<(Fields, String)> {
    let SourceFile { path, sha256, file, mut warnings } = source;
    let card = file.card();
    let mut measured = BTreeMap::new();
    let mut fit: Option<Fit> = None;
    if let Some(opened) = model {
        let admitted = admit(&file, &opened.model, &[]);
        if let Ok(found) = &admitted {
            let told = |warning| format!("vector {} {warning}", card.name);
            warnings.extend(found.iter().map(told));
        }
        let spec = opened.model.decoder().spec();
        let sites: Vec<Site> = card.sites.keys().copied().collect();
        // A file for another shape has no dose here.
        if file.width() == spec.d_model && sites.iter().all(|s| s.exists_in(spec.n_layers())) {
            measured = norms(opened, &sites, console)?;
            let drift = drift(&Dosed::new(&file, &SteerOptions::default()), &measured);
            warnings.extend(drift.as_ref().map(Note::to_string));
        }
        fit = Some((opened.model.name().to_owned(), admitted.err()));
    }
    if let Err(error) = Steer::new(&file, &SteerOptions::default()) {
        warnings.push(error.to_string());
    }
    let places = card.sites.iter().map(|(site, entry)| place(card, *site, entry, &measured));
    let places: Vec<Place> = places.collect();
    let header: Value = serde_json::from_str(&file.header()?).unwrap_or_default();
    let path = path.display().to_string();
    let refusal = |error: &Error| {
        let code = match error {
            Error::Steering(error) => error.code(),
            _ => "operation_refused",
        };
        Fields::new("message", error.to_string()).with("code", code)
    };
    let matched = fit.as_ref().map(|(model, refused)| {
        Fields::new("model", model)
            .with("admitted", refused.is_none())
            .with("refusal", refused.as_ref().map(refusal))
    });
    let document = Fields::new("command", "inspect")
        .with("file", &path)
        .with("sha256", &sha256)
        .with("header", &header)
        .with("sites", &places)
        .with("match", matched)
        .with("warnings", &warnings);
    let mut lines = vec![format!("file       {}", Line(&path)), format!("sha256     {sha256}")];
    lines.extend(shown(&header));
    if let Some((model, refused)) = &fit {
        let verdict = match refused {
            None => "takes it".to_owned(),
            Some(error) => format!("refuses it: {}", Line(&error.to_string())),
        };
        lines.push(format!("model      {model} {verdict}"));
    }
    lines.extend(warnings.iter().map(|warning| format!("warning    {}", Line(warning))));
    Ok((document, format!("{}\n\n{}\n", lines.join("\n"), table(&places))))
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

/// A header for people.
fn shown(header: &Value) -> Vec<String> {
    let word = |value: &Value| match value {
        Value::String(text) => Line(text).to_string(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let of = |field: &str| word(&header[field]);
    let [operation, scale, method, model] =
        ["operation", "scale", "method", "model"].map(|field| &header[field]);
    let weights: String = word(&model["weights_sha256"]).chars().take(12).collect();
    vec![
        format!("name       {}", of("name")),
        format!("summary    {}", of("summary")),
        format!("role       {}, {}", of("role"), of("status")),
        format!("operation  {}, rank {}", word(&operation["kind"]), of("rank")),
        format!("scale      default {}, safe {}", word(&scale["default"]), word(&scale["safe"])),
        format!(
            "method     {}, {} pairs, position {}",
            word(&method["name"]),
            word(&method["pairs"]),
            word(&method["position"])
        ),
        format!(
            "made on    {}, {}, {} blocks, width {}, weights {weights}",
            word(&model["name"]),
            word(&model["quantization"]),
            word(&model["n_layers"]),
            word(&model["d_model"]),
        ),
        evaluated(&header["evaluation"]),
    ]
}

fn evaluated(evaluation: &Value) -> String {
    let Some(response) = evaluation["response"].as_array() else {
        return "measured   nothing".to_owned();
    };
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
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
