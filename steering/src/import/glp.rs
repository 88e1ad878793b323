//! GLP keys: a GGUF control vector that says what is done with it, and where.
//!
//! Directions of one row are read. What several rows mean (order, orthonormality, a scale per row) is refused by the
//! tensor's name, except in a file of ours, whose header says it.

use super::gguf::{Place, Raw, text};
use crate::error::{Error, Result};
use crate::file::card::Operation;
use crate::file::sha256;
use trimtab_runtime::decoder::weights::metadata::Value;
use trimtab_runtime::site::Site;

pub(super) type ByBlock = fn(usize) -> Site;

/// The operation, the sites and the default scale of a GLP file.
pub(super) fn meaning(raw: &Raw) -> Result<(Operation, Place)> {
    let operation = match text(raw, "glp.mode")? {
        Some("add") | None => Operation::Add,
        Some("project") => Operation::Project,
        Some(other) => {
            let found = other.chars().take(64).collect();
            return Err(Error::OperationUnknown { pointer: "glp.mode".to_owned(), found });
        }
    };
    single_rows(raw)?;
    if let Some(tensor) = raw.tensors.iter().find(|tensor| tensor.number == 0) {
        return Err(Error::tensor(&tensor.name, "is not allowed in a GLP file"));
    }
    layer_ids(raw)?;
    verify_content(raw)?;
    let acting = acting(raw)?;
    let misspelt = hook(raw, "glp.derive_at")?;
    let measured = hook(raw, "glp.derived_at")?.or(misspelt).unwrap_or(acting);
    let scale = raw.metadata.number("glp.alpha_default");
    let scale = scale.map_err(|wrong| Error::not_a_vector(wrong.to_string()))?.map(|n| n as f32);
    let site = Box::new(move |block| (acting(block), measured(block)));
    Ok((operation, Place { site, scale }))
}

/// The site of a block, by the file's hook point.
pub(super) fn acting(raw: &Raw) -> Result<ByBlock> {
    Ok(hook(raw, "glp.hook_point")?.unwrap_or(Site::ResidPost))
}

fn hook(raw: &Raw, key: &str) -> Result<Option<ByBlock>> {
    Ok(match text(raw, key)? {
        None => None,
        Some("residual_stream_post_layer") => Some(Site::ResidPost),
        Some("ffn_out_pre_residual") => Some(Site::MlpOut),
        Some("attn_out_pre_residual") => Some(Site::AttnOut),
        Some(other) => {
            let other: String = other.chars().take(64).collect();
            let known = "residual_stream_post_layer, ffn_out_pre_residual or attn_out_pre_residual";
            return Err(Error::not_a_vector(format!("{key} is {other:?}, expected {known}")));
        }
    })
}

fn single_rows(raw: &Raw) -> Result<()> {
    let integer = |key: &str, most: usize| {
        let found = raw.metadata.integer(key).map_err(|e| Error::not_a_vector(e.to_string()))?;
        match found.filter(|n| *n != 1) {
            Some(found) => Err(Error::not_a_vector(format!("{key} is {found}, expected {most}"))),
            None => Ok(()),
        }
    };
    integer("glp.rank", 1)?;
    integer("glp.spec_version", 1)?;
    for key in ["glp.dir_scales", "glp.layer_scales"] {
        if raw.metadata.value(key).is_some() {
            return Err(Error::not_a_vector(format!(
                "{key} is there, scales per row are not read"
            )));
        }
    }
    Ok(())
}

/// The ids as text must be those of the tensors; other forms of the key say nothing that is held to.
fn layer_ids(raw: &Raw) -> Result<()> {
    let key = "glp.layer_ids_zero_based";
    let Some(Value::Text(stated)) = raw.metadata.value(key) else {
        return Ok(());
    };
    let ids: Vec<String> = raw.tensors.iter().map(|tensor| tensor.number.to_string()).collect();
    let stated: Vec<&str> = stated.split(',').map(str::trim).collect();
    if stated == ids {
        return Ok(());
    }
    let reason =
        format!("{key} is {:?}, but the tensors are {:?}", stated.join(","), ids.join(","));
    Err(Error::not_a_vector(reason))
}

/// The hash over the data in rising layer order, where the file has one.
pub(super) fn verify_content(raw: &Raw) -> Result<()> {
    let Some(stated) = text(raw, "glp.content_sha256")? else {
        return Ok(());
    };
    let values = raw.tensors.iter().flat_map(|tensor| &tensor.values);
    let computed = sha256(&values.flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
    if computed == stated {
        return Ok(());
    }
    let stated = stated.chars().take(64).collect();
    Err(Error::ContentHash { field: "glp.content_sha256", stated, computed })
}
