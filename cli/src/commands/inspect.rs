//! `inspect`: what vector files say, and what they would do to a model.

use super::opened::{Opened, open};
use super::table::{Column, markdown};
use super::vectors::{self, Source, admit, norms, read_any};
use crate::args::Switch;
use crate::console::Console;
use crate::error::Result;
use crate::plan::Inspect;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use trimtab_runtime::site::Site;
use trimtab_steering::Steer;
use trimtab_steering::SteerOptions;
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
    /// The stream's median length: measured on the model, else the card's.
    stream_norm: Option<f32>,
    /// Dose of scale 1.
    dose_per_unit: Option<f32>,
    /// Dose of the default scale.
    dose: Option<f32>,
    auc: Option<f32>,
}

/// Whether a model takes a file.
#[derive(Serialize)]
struct Match {
    model: String,
    admitted: Switch,
    refusal: Option<Refusal>,
}

#[derive(Serialize)]
struct Refusal {
    message: String,
    code: &'static str,
}

/// Shows files.
pub fn run(plan: &Inspect, console: &Console) -> Result<()> {
    let options = ImportOptions { layer_shift: plan.layer_shift, ..ImportOptions::default() };
    let read = |path| read_any(path, &options);
    let sources: Vec<Source> =
        plan.files.iter().map(|path| read(path.as_path())).collect::<Result<_>>()?;
    let model = plan.opening.as_ref().map(|opening| open(opening, console)).transpose()?;
    for source in sources {
        let document = document(source, model.as_ref(), console)?;
        match console.is_json() {
            true => console.print(&document)?,
            false => console.say(&shown(&document))?,
        }
    }
    Ok(())
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
        }
        fit = Some(Match {
            model: opened.model.name().to_owned(),
            admitted: admitted.is_ok().into(),
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
    let stream_norm = measured.get(&site).copied().or(entry.stream_norm);
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
        dose_per_unit: per_unit,
        dose: per_unit.map(|dose| dose * card.scale.default.abs()),
        auc: entry.auc,
    }
}

/// A file for people.
fn shown(document: &Document) -> String {
    let header = &document.header;
    let text = |field: &str| header.get(field).and_then(|v| v.as_str()).unwrap_or("-").to_owned();
    let inner =
        |a: &str, b: &str| header.get(a).and_then(|v| v.get(b)).cloned().unwrap_or_default();
    let word = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        serde_json::Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let mut lines = vec![
        format!("file       {}", document.file),
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
            Some(refusal) => format!("refuses it: {}", refusal.message),
        };
        lines.push(format!("model      {} {verdict}", fit.model));
    }
    lines.extend(document.warnings.iter().map(|warning| format!("warning    {warning}")));
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
    let columns = [
        Column::Left("site"),
        Column::Left("derived at"),
        Column::Right("magnitude"),
        Column::Right("stream"),
        Column::Right("dose of scale 1"),
        Column::Right("dose of default"),
        Column::Right("auc"),
    ];
    let number = |value: Option<f32>| value.map_or("-".to_owned(), |v| format!("{v:.3}"));
    let row = |place: &Place| {
        vec![
            place.site.clone(),
            place.derived_at.clone(),
            number(place.magnitude),
            number(place.stream_norm),
            number(place.dose_per_unit),
            number(place.dose),
            number(place.auc),
        ]
    };
    markdown(&columns, sites.iter().map(row).collect())
}
