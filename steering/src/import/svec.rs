//! `.svec`: the JSON of IBM's activation-steering and AISteer360.
//!
//! `{"model_type": …, "directions": {"12": [floats], …}}`, where the key is the block whose output is steered. Everything
//! that means more than one row in the stream (heads, several components, blocks counted from the end) is refused.

use super::{Draft, ImportOptions, Imported, Origin, Placed};
use crate::direction::WIDTH_LIMIT;
use crate::error::{Error, Result};
use crate::file::card::Operation;
use crate::file::json::{Node, parse};
use std::collections::BTreeMap;
use trimtab_runtime::site::Site;

/// Bytes of a file: numbers as text are large.
pub(super) const LIMIT: u64 = 128 << 20;
/// Keys whose presence changes what a direction is.
const OTHER_SHAPES: [&str; 2] = ["num_heads", "head_dim"];

/// Reads a file's bytes.
pub(super) fn read(bytes: &[u8], name: String, options: &ImportOptions) -> Result<Imported> {
    Origin::Svec.shift(options.layer_shift)?;
    let value = parse(bytes)?;
    let mut top = Node::root(&value).object()?;
    let model_type = top.take("model_type")?.text()?.to_owned();
    let directions = top.take("directions")?.object()?;
    let mut rows = Vec::new();
    for (key, node) in directions.rest() {
        let block = block(key, &node, options.n_layers)?;
        let site = Site::ResidPost(block);
        rows.push(Placed {
            tensor: format!("directions/{key}"),
            site,
            derived_at: site,
            values: row(&node)?,
        });
    }
    rows.sort_by_key(|row| row.site);
    let mut extra = BTreeMap::from([("model_type".to_owned(), model_type)]);
    for (key, node) in top.rest() {
        // An absent shape and a null one are the same to their writer.
        let Some(node) = node.some() else { continue };
        if OTHER_SHAPES.contains(&key) {
            return Err(
                node.wrong("makes directions per attention head, which the stream has no site for")
            );
        }
        extra.insert(key.to_owned(), node.compact());
    }
    let (origin, operation) = (Origin::Svec, Operation::Add);
    Draft {
        name,
        origin,
        operation,
        scale: None,
        layer_shift: None,
        zeros: options.zeros,
        rows,
        extra,
        warnings: Vec::new(),
    }
    .finish()
}

fn block(key: &str, node: &Node<'_>, n_layers: Option<usize>) -> Result<usize> {
    let block = key.parse::<u16>().ok().filter(|n| n.to_string() == key);
    let block = block.ok_or_else(|| {
        node.wrong(
            "is no block number; blocks count from 0, and from the end they depend on the model",
        )
    })?;
    let last = n_layers.map_or(usize::from(u16::MAX), |n| n.saturating_sub(1));
    if usize::from(block) > last {
        let advice = "it is for a deeper model".to_owned();
        return Err(Error::LayerRange {
            name: node.pointer.clone(),
            block: block.into(),
            last,
            advice,
        });
    }
    Ok(block.into())
}

/// A list of numbers, or a list of one such list.
// -> [d_model]
fn row(node: &Node<'_>) -> Result<Vec<f32>> {
    let list = node.list()?;
    let numbers = match list.as_slice() {
        [inner] if inner.is_list() => inner.list()?,
        [first, ..] if first.is_list() => {
            return Err(node.wrong(format!("has {} rows, expected one", list.len())));
        }
        _ => list,
    };
    if !(1..=WIDTH_LIMIT).contains(&numbers.len()) {
        return Err(
            node.wrong(format!("has {} values, expected 1 to {WIDTH_LIMIT}", numbers.len()))
        );
    }
    numbers.iter().map(Node::number).collect()
}
