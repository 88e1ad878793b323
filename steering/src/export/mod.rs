//! Vector files for other programs: GGUF control vectors.
//!
//! llama.cpp reads no metadata and adds what it finds to the output of block N, so the magnitude goes into the data and
//! scale 1 there is scale 1 here. The default scale is not folded in: it is the user's to give there, too. Our own
//! header travels along, and [`import`](crate::import) restores the file from it.

pub(crate) mod writer;

use crate::error::{Error, Result};
use crate::file::VectorFile;
use crate::file::card::{ModelPin, Operation};
use crate::file::sha256;
use std::path::Path;
use trimtab_runtime::site::Site;
use writer::Value;

/// Where the tensors are, in the words of GLP files.
const HOOK: &str = "residual_stream_post_layer";

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

/// A vector as a GGUF control vector.
pub fn gguf(file: &VectorFile, block_zero: BlockZero) -> Result<Exported> {
    if file.card().operation != Operation::Add {
        let kind = file.card().operation.kind();
        let reason = format!(
            "a control vector is always added, and {} is a {kind} vector",
            file.card().name
        );
        return Err(Error::Refused { what: "GGUF export", reason });
    }
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    for (site, offset) in file.offsets()? {
        match block(site, block_zero)? {
            Some(block) => kept.push((site, block, offset)),
            None => dropped.push(site),
        }
    }
    if kept.is_empty() {
        let reason = "nothing is left without block 0; keep it for EasySteer or repeng".to_owned();
        return Err(Error::Refused { what: "GGUF export", reason });
    }
    let (blocks, data): (Vec<usize>, Vec<u8>) = bytes_of(&kept);
    let entries = entries(file, &blocks, sha256(&data))?;
    let tensors: Vec<(String, &[f32])> = kept
        .iter()
        .map(|(_, block, offset)| (format!("direction.{block}"), offset.as_slice()))
        .collect();
    Ok(Exported {
        bytes: writer::write(&entries, &tensors),
        sites: kept.iter().map(|(site, ..)| *site).collect(),
        dropped,
        scale: file.card().scale.default,
    })
}

/// The number of a site's tensor; `None` to leave it out.
fn block(site: Site, block_zero: BlockZero) -> Result<Option<usize>> {
    let refused = |reason: &str| {
        Err(Error::Refused { what: "GGUF export", reason: format!("{site} {reason}") })
    };
    match (site, block_zero) {
        (Site::ResidPost(0), BlockZero::Refuse) => refused(
            "would be direction.0, which llama.cpp rejects; drop block 0 (its edit is lost), or keep it for others",
        ),
        (Site::ResidPost(0), BlockZero::Drop) => Ok(None),
        (Site::ResidPost(block), _) => Ok(Some(block)),
        (Site::Embed | Site::AttnOut(_) | Site::ResidMid(_) | Site::MlpOut(_) | Site::Final, _) => {
            refused("has no place in a control vector, which holds resid_post.N only")
        }
    }
}

fn bytes_of(kept: &[(Site, usize, Vec<f32>)]) -> (Vec<usize>, Vec<u8>) {
    let blocks = kept.iter().map(|(_, block, _)| *block).collect();
    (blocks, kept.iter().flat_map(|(.., offset)| offset).flat_map(|v| v.to_le_bytes()).collect())
}

fn entries(
    file: &VectorFile,
    blocks: &[usize],
    content: String,
) -> Result<Vec<(&'static str, Value)>> {
    let card = file.card();
    let text = |text: &str| Value::Text(text.to_owned());
    let ids: Vec<String> = blocks.iter().map(usize::to_string).collect();
    let arch = card.model.as_ref().map_or("unknown", |model| model.arch.as_str());
    let method = serde_json::to_value(card.method.name);
    let method = method.ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
    let mut entries = vec![
        ("general.architecture", text("controlvector")),
        ("general.name", text(&card.name)),
        ("controlvector.model_hint", text(arch)),
        // At most 4,096 directions, so it fits.
        ("controlvector.layer_count", Value::U32(blocks.len() as u32)),
        ("controlvector.method", Value::Text(method)),
        ("glp.mode", text("add")),
        ("glp.hook_point", text(HOOK)),
        ("glp.derived_at", text(HOOK)),
        ("glp.spec_version", Value::U32(1)),
        ("glp.rank", Value::U32(1)),
        ("glp.layer_ids_zero_based", Value::Text(ids.join(","))),
        ("glp.content_sha256", Value::Text(content)),
    ];
    entries.extend(card.model.iter().flat_map(base_model));
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
