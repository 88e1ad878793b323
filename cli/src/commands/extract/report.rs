//! What an extraction came to: one JSON document, or tables for people.

use crate::commands::table::{markdown, number};
use crate::console::Console;
use crate::document::Fields;
use crate::error::Result;
use std::path::{Path, PathBuf};
use std::time::Duration;
use trimtab_steering::extract::{Candidate, Report, SiteReport, States};
use trimtab_steering::file::card::Card;

/// A vector that was written.
pub struct Written {
    pub sha256: String,
    pub content_sha256: String,
    pub card: Card,
    /// The file that detects, if there is one.
    pub read: Option<PathBuf>,
    pub report: Report,
}

/// What a run came to.
pub enum Outcome<'a> {
    Vector(Box<Written>),
    /// States of a shard.
    Shard(&'a States),
}

pub fn show(
    console: &Console,
    head: Fields,
    outcome: &Outcome<'_>,
    (out, took): (&Path, Duration),
) -> Result<()> {
    let seconds = took.as_secs_f64();
    match outcome {
        Outcome::Shard(states) => {
            let (blocks, of_blocks) = states.blocks();
            if console.is_json() {
                let document = head.with("output", out).with("pairs", states.items());
                let document = document.with("blocks", [blocks.start, blocks.end]);
                let document = document.with("of_blocks", of_blocks);
                return console.print(&document.with("seconds", seconds));
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

fn document(head: Fields, written: &Written, out: &Path, seconds: f64) -> Fields {
    let (report, card) = (&written.report, &written.card);
    let [fit, holdout, test] = report.parts;
    head.with("output", out)
        .with("read_output", &written.read)
        .with("sha256", &written.sha256)
        .with("content_sha256", &written.content_sha256)
        .with("method", card.method.name)
        .with("position", report.place.to_string())
        .with("select", report.rule.name())
        .with("pairs", report.items)
        .with("fit", fit)
        .with("holdout", holdout)
        .with("test", test)
        .with("data_sha256", card.data.as_ref().map_or("", |data| &data.sha256))
        .with("seconds", seconds)
        .with("scale", card.scale.default)
        .with("sites", report.sites.iter().map(site).collect::<Vec<_>>())
        .with("recommended_site", report.recommended.to_string())
        .with("grid", report.grid.iter().map(candidate).collect::<Vec<_>>())
        .with("warnings", &report.warnings)
}

fn site(site: &SiteReport) -> Fields {
    Fields::new("site", site.site.to_string())
        .with("magnitude", site.magnitude)
        .with("anchor", site.anchor)
        .with("stream_norm", site.norm.map(|norm| norm[0]))
        .with("stream_norm_p95", site.norm.map(|norm| norm[1]))
        .with("auc", site.auc)
        .with("cohens_d", site.cohens_d)
        .with("dose_per_unit", site.norm.map(|norm| site.magnitude / norm[0]))
        .with("split_half_cosine", site.split_half)
}

fn candidate(candidate: &Candidate) -> Fields {
    let score = &candidate.score;
    Fields::new("site", candidate.site.to_string())
        .with("position", candidate.place.to_string())
        .with("relative_length", score.relative_length)
        .with("cosine", score.cosine)
        .with("length_ratio", score.length_ratio)
        .with("top_share", score.top_share)
        .with("auroc", score.auroc)
        .with("cohens_d", score.cohens_d)
        .with("dose", score.dose)
        .with("problem", &candidate.problem)
}

/// The grid by site, its best place each, and the sites of the file.
fn tables(written: &Written) -> String {
    let report = &written.report;
    let shown = |value: Option<f64>| number(value, 3);
    let grid = report.grid.iter().filter(|c| c.place == report.place).map(|c| {
        let mark = if c.site == report.recommended { "*" } else { "" };
        let score = &c.score;
        [
            format!("{}{mark}", c.site),
            shown(Some(score.cosine)),
            shown(score.auroc),
            shown(score.dose),
            shown(Some(score.length_ratio)),
            shown(Some(score.top_share)),
        ]
    });
    let grid = markdown("site;>cos(r, μ+);>auroc;>dose at 1;>|μ+|/|μ-|;>top 1 %", grid);
    let sites = report.sites.iter().map(|site| {
        [
            site.site.to_string(),
            format!("{:.3}", site.magnitude),
            shown(site.auc.map(f64::from)),
            shown(site.cohens_d),
            shown(site.split_half),
            shown(site.norm.map(|norm| f64::from(site.magnitude / norm[0]))),
        ]
    });
    let sites = markdown("written;>gap;>auc;>d;>halves;>dose at 1", sites);
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
