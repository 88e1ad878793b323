//! Projections as GLP files: a GGUF control vector whose keys say that it is removed and not added.
//!
//! llama.cpp reads none of these keys and would add the rows, which pushes the other way; a program that writes such a file
//! must say so. Rows are of length 1 and the scale is a key of its own, because a projection is quadratic in its row.

use super::writer::{self, Value};
use super::{BlockZero, Exported, HOOK, described, identified, refused};
use crate::direction::Direction;
use crate::error::Result;
use crate::file::VectorFile;
use crate::file::card::{Operation, SiteCard};
use trimtab_runtime::site::Site;

/// A vector that projects, as a GLP file. Block 0 cannot be named in one.
pub fn project(file: &VectorFile, block_zero: BlockZero) -> Result<Exported> {
    super::steers(file)?;
    let card = file.card();
    if card.operation != Operation::Project {
        let (name, kind) = (&card.name, card.operation.kind());
        let reason = format!("--glp writes projections, and {name} is a {kind} vector");
        return Err(refused(reason));
    }
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    for direction in file.directions() {
        match (direction.site().block(), block_zero) {
            (Some(0), BlockZero::Drop) => dropped.push(direction.site()),
            (Some(0), BlockZero::Refuse | BlockZero::Keep) => {
                let site = direction.site();
                let reason = format!("{site} would be direction.0, which no GLP file has; drop it");
                return Err(refused(reason));
            }
            _ => kept.push(direction),
        }
    }
    let Some(first) = kept.first() else {
        return Err(refused("nothing is left without block 0"));
    };
    let hook = one_hook(kept.iter().map(|direction| direction.site()))?;
    let derived = one_hook(kept.iter().map(|d| derived_at(file, d.site())))?;
    let scales = row_scales(file, &kept)?;
    let version = if first.rank() > 1 || scales.is_some() { 2 } else { 1 };
    let tensors: Vec<(String, &[f32])> = kept.iter().flat_map(|d| rows(d)).collect();
    let sites: Vec<Site> = kept.iter().map(|direction| direction.site()).collect();
    let mut entries = described(file, tensors.len());
    let text = |text: &str| Value::Text(text.to_owned());
    entries.extend([
        ("glp.mode", text("project")),
        ("glp.hook_point", text(hook)),
        ("glp.derived_at", text(derived)),
        ("glp.spec_version", Value::U32(version)),
        ("glp.alpha_default", Value::F32(card.scale.default)),
        // At most 64.
        ("glp.rank", Value::U32(first.rank() as u32)),
        ("glp.orthonormal", Value::Bool(true)),
    ]);
    entries.extend(scales.map(|scales| ("glp.dir_scales", Value::Text(scales))));
    entries.extend(identified(file, &sites, &tensors)?);
    let bytes = writer::write(&entries, &tensors);
    Ok(Exported { bytes, sites, dropped, scale: card.scale.default })
}

/// Where a direction was measured.
fn derived_at(file: &VectorFile, site: Site) -> Site {
    file.card().sites.get(&site).map_or(site, |entry| entry.derived_at)
}

/// The one hook point of these sites: a GLP file has a single one.
fn one_hook(sites: impl Iterator<Item = Site>) -> Result<&'static str> {
    let mut found: Option<(&'static str, Site)> = None;
    for site in sites {
        let hook = hook(site)?;
        match found {
            Some((other, first)) if other != hook => {
                let reason =
                    format!("a GLP file has one hook point, and {first} and {site} are two");
                return Err(refused(reason));
            }
            Some(_) => {}
            None => found = Some((hook, site)),
        }
    }
    Ok(found.map_or(HOOK, |(hook, _)| hook))
}

fn hook(site: Site) -> Result<&'static str> {
    match site {
        Site::ResidPost(_) => Ok(HOOK),
        Site::MlpOut(_) => Ok("ffn_out_pre_residual"),
        Site::AttnOut(_) => Ok("attn_out_pre_residual"),
        Site::Embed | Site::ResidMid(_) | Site::Final => {
            Err(refused(format!("{site} has no hook point in a GLP file")))
        }
    }
}

/// `direction.N` for the first row, `direction.N.j` for the others.
fn rows(direction: &Direction) -> Vec<(String, &[f32])> {
    let block = direction.site().block().unwrap_or_default();
    let name = |row| match row {
        0 => format!("direction.{block}"),
        row => format!("direction.{block}.{row}"),
    };
    direction.rows().enumerate().map(|(row, values)| (name(row), values)).collect()
}

/// A multiplier for each row, which must be the same at every site; `None` where all are 1.
fn row_scales(file: &VectorFile, kept: &[&Direction]) -> Result<Option<String>> {
    let of = |direction: &&Direction| file.card().sites.get(&direction.site());
    let mut all = kept.iter().filter_map(of).map(|entry: &SiteCard| entry.row_scale.as_slice());
    let first = all.next().unwrap_or_default();
    if all.any(|other| other != first) {
        return Err(refused("a GLP file has one scale per row, and sites here differ in theirs"));
    }
    let texts: Vec<String> = first.iter().map(f32::to_string).collect();
    Ok((!texts.is_empty()).then(|| texts.join(",")))
}
