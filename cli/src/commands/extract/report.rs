//! What an extraction came to: one JSON document, or tables for people.

use crate::commands::table::{Column, markdown};
use crate::console::Console;
use crate::document::Head;
use crate::error::Result;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use trimtab_steering::extract::{Candidate, Report, SiteReport, States};
use trimtab_steering::file::card::{Card, MethodName};

/// A vector that was written.
pub struct Written {
    /// Of the file.
    pub sha256: String,
    /// Of its directions.
    pub content_sha256: String,
    /// What it says.
    pub card: Card,
    /// The file that detects, if there is one.
    pub read: Option<PathBuf>,
    /// What was found.
    pub report: Report,
}

/// What a run came to.
pub enum Outcome<'a> {
    /// A vector.
    Vector(Box<Written>),
    /// States of a shard.
    Shard(&'a States),
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    head: Head,
    output: &'a Path,
    read_output: Option<&'a Path>,
    sha256: &'a str,
    content_sha256: &'a str,
    method: MethodName,
    position: String,
    select: &'static str,
    pairs: usize,
    fit: usize,
    holdout: usize,
    test: usize,
    data_sha256: &'a str,
    seconds: f64,
    scale: f32,
    sites: Vec<SiteRow>,
    recommended_site: String,
    grid: Vec<GridRow>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct SiteRow {
    site: String,
    magnitude: f32,
    anchor: f32,
    stream_norm: Option<f32>,
    stream_norm_p95: Option<f32>,
    auc: Option<f32>,
    cohens_d: Option<f64>,
    dose_per_unit: Option<f32>,
    split_half_cosine: Option<f64>,
}

#[derive(Serialize)]
struct GridRow {
    site: String,
    position: String,
    relative_length: f64,
    cosine: f64,
    length_ratio: f64,
    top_share: f64,
    auroc: Option<f64>,
    cohens_d: Option<f64>,
    dose: Option<f64>,
    problem: Option<String>,
}

#[derive(Serialize)]
struct ShardDocument<'a> {
    #[serde(flatten)]
    head: Head,
    output: &'a Path,
    pairs: usize,
    blocks: [usize; 2],
    of_blocks: usize,
    seconds: f64,
}

/// Shows it.
pub fn show(
    console: &Console,
    head: Head,
    outcome: &Outcome<'_>,
    (out, took): (&Path, Duration),
) -> Result<()> {
    let seconds = took.as_secs_f64();
    match outcome {
        Outcome::Shard(states) => {
            let (blocks, of_blocks) = states.blocks();
            if console.is_json() {
                let blocks = [blocks.start, blocks.end];
                let (output, pairs) = (out, states.items());
                let document = ShardDocument { head, output, pairs, blocks, of_blocks, seconds };
                return console.print(&document);
            }
            let shown = format!("blocks {} to {} of {of_blocks}", blocks.start, blocks.end);
            console.note(format!("wrote {}: {shown} in {seconds:.1} s", out.display()));
            Ok(())
        }
        Outcome::Vector(written) => {
            written.report.warnings.iter().for_each(|warning| console.warn(warning));
            if console.is_json() {
                return console.print(&document(head, written, out, seconds));
            }
            console.say(&tables(written))?;
            console.note(format!("wrote {} in {seconds:.1} s", out.display()));
            if let Some(read) = &written.read {
                console.note(format!("wrote {}, which detects", read.display()));
            }
            Ok(())
        }
    }
}

fn document<'a>(head: Head, written: &'a Written, out: &'a Path, seconds: f64) -> Document<'a> {
    let (report, card) = (&written.report, &written.card);
    let [fit, holdout, test] = report.parts;
    Document {
        head,
        output: out,
        read_output: written.read.as_deref(),
        sha256: &written.sha256,
        content_sha256: &written.content_sha256,
        method: card.method.name,
        position: report.place.to_string(),
        select: report.rule.name(),
        pairs: report.items,
        fit,
        holdout,
        test,
        data_sha256: card.data.as_ref().map_or("", |data| &data.sha256),
        seconds,
        scale: card.scale.default,
        sites: report.sites.iter().map(site_row).collect(),
        recommended_site: report.recommended.to_string(),
        grid: report.grid.iter().map(grid_row).collect(),
        warnings: &report.warnings,
    }
}

fn site_row(site: &SiteReport) -> SiteRow {
    SiteRow {
        site: site.site.to_string(),
        magnitude: site.magnitude,
        anchor: site.anchor,
        stream_norm: site.norm.map(|norm| norm[0]),
        stream_norm_p95: site.norm.map(|norm| norm[1]),
        auc: site.auc,
        cohens_d: site.cohens_d,
        dose_per_unit: site.norm.map(|norm| site.magnitude / norm[0]),
        split_half_cosine: site.split_half,
    }
}

fn grid_row(candidate: &Candidate) -> GridRow {
    GridRow {
        site: candidate.site.to_string(),
        position: candidate.place.to_string(),
        relative_length: candidate.score.relative_length,
        cosine: candidate.score.cosine,
        length_ratio: candidate.score.length_ratio,
        top_share: candidate.score.top_share,
        auroc: candidate.score.auroc,
        cohens_d: candidate.score.cohens_d,
        dose: candidate.score.dose,
        problem: candidate.problem.clone(),
    }
}

/// The grid by site, its best place each, and the sites of the file.
fn tables(written: &Written) -> String {
    let report = &written.report;
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.3}"));
    let grid = report.grid.iter().filter(|c| c.place == report.place).map(|c| {
        let mark = if c.site == report.recommended { "*" } else { "" };
        vec![
            format!("{}{mark}", c.site),
            shown(Some(c.score.cosine)),
            shown(c.score.auroc),
            shown(c.score.dose),
            shown(Some(c.score.length_ratio)),
            shown(Some(c.score.top_share)),
        ]
    });
    let columns = [
        Column::Left("site"),
        Column::Right("cos(r, μ+)"),
        Column::Right("auroc"),
        Column::Right("dose at 1"),
        Column::Right("|μ+|/|μ-|"),
        Column::Right("top 1 %"),
    ];
    let grid = markdown(&columns, grid.collect());
    let sites = report.sites.iter().map(|site| {
        vec![
            site.site.to_string(),
            format!("{:.3}", site.magnitude),
            shown(site.auc.map(f64::from)),
            shown(site.cohens_d),
            shown(site.split_half),
            shown(site.norm.map(|norm| f64::from(site.magnitude / norm[0]))),
        ]
    });
    let columns = [
        Column::Left("written"),
        Column::Right("gap"),
        Column::Right("auc"),
        Column::Right("d"),
        Column::Right("halves"),
        Column::Right("dose at 1"),
    ];
    let sites = markdown(&columns, sites.collect());
    let [fit, holdout, test] = report.parts;
    format!(
        "candidates at {}, {} in all; fitted on {fit}, chosen by {holdout}, tested on {test} of {}\n\n{grid}\n\n\
         scale {:.4}\n\n{sites}\n",
        report.place,
        report.grid.len(),
        report.items,
        written.card.scale.default,
    )
}
