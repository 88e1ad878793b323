//! Vector files for other programs: GGUF control vectors, and their GLP form for projections.
//!
//! llama.cpp reads no metadata and adds what it finds to the output of block N, so the magnitude goes into the data and
//! scale 1 there is scale 1 here. The default scale is not folded in: it is the user's to give there, too. A projection
//! has no magnitude and must never be added, so it is written only for readers of `glp.mode` ([`mod@glp`]). Our own
//! header travels along, and [`import`](crate::import) restores the file from it.

pub mod glp;
pub(crate) mod writer;

use crate::error::{Error, Result};
use crate::file::VectorFile;
use crate::file::card::{ModelPin, Operation, Role};
use crate::file::sha256;
use std::path::Path;
use trimtab_runtime::site::Site;
use writer::Value;

/// The hook point of a block's output, in the words of GLP files.
pub(crate) const HOOK: &str = "residual_stream_post_layer";

/// What is done with a direction at block 0, which llama.cpp rejects by name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BlockZero {
    /// The export fails.
    #[default]
    Refuse,
    /// It is left out: the file loads in llama.cpp, and that edit is lost.
    Drop,
    /// It is written as `direction.0`, which llama.cpp rejects and EasySteer and repeng accept.
    Keep,
}

/// A GGUF file's bytes and what is not in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// The file.
    pub bytes: Vec<u8>,
    /// The sites in it, in rising order.
    pub sites: Vec<Site>,
    /// The sites that were left out.
    pub dropped: Vec<Site>,
    /// The scale to give to the other program, as in `--control-vector-scaled FILE:SCALE`.
    pub scale: f32,
}

impl Exported {
    /// Writes the file, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        crate::file::write(path, &self.bytes)
    }
}

/// A vector that adds, as a GGUF control vector.
pub fn gguf(file: &VectorFile, block_zero: BlockZero) -> Result<Exported> {
    steers(file)?;
    if file.card().operation != Operation::Add {
        let kind = file.card().operation.kind();
        let advice = match file.card().operation {
            Operation::Project => "; a GLP file (--glp) says that it projects",
            Operation::Add | Operation::Clamp { .. } | Operation::Rotate { .. } => "",
        };
        let name = &file.card().name;
        return Err(refused(format!(
            "a control vector is always added, and {name} is a {kind} vector{advice}"
        )));
    }
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    for (site, offset) in file.offsets()? {
        match block(site, block_zero)? {
            Some(block) => kept.push((site, format!("direction.{block}"), offset)),
            None => dropped.push(site),
        }
    }
    if kept.is_empty() {
        return Err(refused("nothing is left without block 0; keep it for EasySteer or repeng"));
    }
    let tensors: Vec<(String, &[f32])> =
        kept.iter().map(|(_, name, offset)| (name.clone(), offset.as_slice())).collect();
    let sites: Vec<Site> = kept.iter().map(|(site, ..)| *site).collect();
    let mut entries = described(file, tensors.len());
    let text = |text: &str| Value::Text(text.to_owned());
    entries.extend([
        ("glp.mode", text("add")),
        ("glp.hook_point", text(HOOK)),
        ("glp.derived_at", text(HOOK)),
        ("glp.spec_version", Value::U32(1)),
        ("glp.rank", Value::U32(1)),
    ]);
    entries.extend(identified(file, &sites, &tensors)?);
    let bytes = writer::write(&entries, &tensors);
    Ok(Exported { bytes, sites, dropped, scale: file.card().scale.default })
}

/// Refuses a direction that reads: what it would do as an addition was never looked at.
fn steers(file: &VectorFile) -> Result<()> {
    match file.card().role {
        Role::Steer => Ok(()),
        Role::Read => Err(Error::RoleRead { name: file.card().name.clone() }),
    }
}

fn refused(reason: impl Into<String>) -> Error {
    Error::Refused { what: "GGUF export", reason: reason.into() }
}

/// The number of a site's tensor; `None` to leave it out.
fn block(site: Site, block_zero: BlockZero) -> Result<Option<usize>> {
    let not = |reason: &str| Err(refused(format!("{site} {reason}")));
    match (site, block_zero) {
        (Site::ResidPost(0), BlockZero::Refuse) => not(
            "would be direction.0, which llama.cpp rejects; drop block 0 (its edit is lost), or keep it for others",
        ),
        (Site::ResidPost(0), BlockZero::Drop) => Ok(None),
        (Site::ResidPost(block), _) => Ok(Some(block)),
        (Site::Embed | Site::AttnOut(_) | Site::ResidMid(_) | Site::MlpOut(_) | Site::Final, _) => {
            not("has no place in a control vector, which holds resid_post.N only")
        }
    }
}

/// The entries that say what the file is.
fn described(file: &VectorFile, tensors: usize) -> Vec<(&'static str, Value)> {
    let card = file.card();
    let text = |text: &str| Value::Text(text.to_owned());
    let arch = card.model.as_ref().map_or("unknown", |model| model.arch.as_str());
    vec![
        ("general.architecture", text("controlvector")),
        ("general.name", text(&card.name)),
        ("controlvector.model_hint", text(arch)),
        // At most 4,096 sites of 64 rows, so it fits.
        ("controlvector.layer_count", Value::U32(tensors as u32)),
        ("controlvector.method", text(card.method.name.name())),
    ]
}

/// The entries that say what the data is: its blocks, its hash, its model, and our own header.
fn identified(
    file: &VectorFile,
    sites: &[Site],
    tensors: &[(String, &[f32])],
) -> Result<Vec<(&'static str, Value)>> {
    let blocks = sites.iter().filter_map(|site| site.block());
    let ids: Vec<String> = blocks.map(|block| block.to_string()).collect();
    let values = tensors.iter().flat_map(|(_, values)| *values);
    let data: Vec<u8> = values.flat_map(|v| v.to_le_bytes()).collect();
    let mut entries = vec![
        ("glp.layer_ids_zero_based", Value::Text(ids.join(","))),
        ("glp.content_sha256", Value::Text(sha256(&data))),
    ];
    entries.extend(file.card().model.iter().flat_map(base_model));
    entries.push(("trimtab.header", Value::Text(file.header()?)));
    Ok(entries)
}

fn base_model(model: &ModelPin) -> Vec<(&'static str, Value)> {
    let mut entries = vec![
        ("general.base_model.count", Value::U32(1)),
        ("general.base_model.0.name", Value::Text(model.name.clone())),
    ];
    if let Some(revision) = &model.revision {
        entries.push(("general.base_model.0.version", Value::Text(revision.clone())));
    }
    // A hub id is owner/name; a file's name says nothing about where it came from.
    if model.name.split('/').count() == 2 {
        let url = format!("https://huggingface.co/{}", model.name);
        entries.push(("general.base_model.0.repo_url", Value::Text(url)));
    }
    entries
}
