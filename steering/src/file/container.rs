//! The safetensors container: one tensor per site, and the header under one key.
//!
//! One key on purpose: the writer keeps metadata in a hash map, so several keys come out in another order each run
//! and equal files would have different bytes. The header is taken apart here, because the crate's reader lets a later
//! tensor replace an earlier one of the same name and adds offsets unchecked.

use super::check::SITE_LIMIT;
use super::json::{Node, parse};
use crate::direction::Direction;
use crate::error::{Error, Result};
use safetensors::tensor::{Dtype, TensorView};
use std::collections::HashMap;
use trimtab_runtime::site::Site;

/// The metadata key of the header.
const KEY: &str = "trimtab";
/// Bytes of the container's own header: ours as a string, and an entry per tensor.
const CONTAINER_LIMIT: u64 = 4 << 20;
/// Bytes of our header.
pub(crate) const HEADER_LIMIT: usize = 1 << 20;
/// Bytes of the length in front.
const LENGTH_BYTES: usize = 8;

/// What a container holds: our header, and the directions in forward order.
pub(crate) struct Parts {
    pub(crate) header: String,
    pub(crate) directions: Vec<Direction>,
}

pub(crate) fn write(header: String, directions: &[Direction]) -> Result<Vec<u8>> {
    let bytes_of = |d: &Direction| d.values().iter().flat_map(|v| v.to_le_bytes()).collect();
    let stored: Vec<(String, [usize; 2], Vec<u8>)> = directions
        .iter()
        .map(|d| (d.site().to_string(), [d.rank(), d.width()], bytes_of(d)))
        .collect();
    let unwritable =
        |e: safetensors::SafeTensorError| Error::not_a_vector(format!("cannot be written: {e}"));
    let mut views = Vec::with_capacity(stored.len());
    for (name, shape, bytes) in &stored {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes).map_err(unwritable)?;
        views.push((name.as_str(), view));
    }
    let metadata = HashMap::from([(KEY.to_owned(), header)]);
    safetensors::serialize(views, Some(metadata)).map_err(unwritable)
}

/// Takes a container apart.
pub(crate) fn read(bytes: &[u8]) -> Result<Parts> {
    let (json, data) = halves(bytes)?;
    let value = parse(json)?;
    let mut entries = Node::root(&value).object()?;
    let metadata = entries.take_if_there("__metadata__");
    let metadata = metadata.ok_or_else(|| Error::not_a_vector(FOREIGN))?;
    let mut metadata = metadata.object()?;
    let header = metadata.take_if_there(KEY).ok_or_else(|| Error::not_a_vector(FOREIGN))?;
    let header = header.text()?;
    if header.len() > HEADER_LIMIT {
        let (bytes, limit) = (header.len() as u64, HEADER_LIMIT as u64);
        return Err(Error::TooLarge { what: "metadata key trimtab", bytes, limit });
    }
    metadata.finish()?;
    let stored = stored(entries.rest(), data, &["F32"])?;
    let directions = stored.iter().map(|tensor| tensor.direction(data));
    let mut directions: Vec<Direction> = directions.collect::<Result<_>>()?;
    directions.sort_by_key(Direction::site);
    Ok(Parts { header: header.to_owned(), directions })
}

/// Whether the bytes of a safetensors file hold our header.
pub(crate) fn is_ours(bytes: &[u8]) -> Result<bool> {
    let value = parse(halves(bytes)?.0)?;
    let metadata = value.get("__metadata__").and_then(|metadata| metadata.get(KEY));
    Ok(metadata.is_some())
}

const FOREIGN: &str = "a safetensors file without the metadata key trimtab; a bare file must be imported with its operation named";

/// The header's JSON and the data behind it.
pub(crate) fn halves(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>().ok_or_else(|| {
        Error::not_a_vector(format!("it has {} bytes, expected a safetensors file", bytes.len()))
    })?;
    let claimed = u64::from_le_bytes(*length);
    if claimed > CONTAINER_LIMIT {
        let what = "safetensors header";
        return Err(Error::TooLarge { what, bytes: claimed, limit: CONTAINER_LIMIT });
    }
    // Below the limit, so it fits `usize`.
    rest.split_at_checked(claimed as usize).ok_or_else(|| {
        let reason = format!("its header claims {claimed} bytes, {} follow", rest.len());
        Error::not_a_vector(reason)
    })
}

/// A tensor as a container's header describes it.
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) dtype: String,
    pub(crate) shape: Vec<usize>,
    start: usize,
    end: usize,
}

impl Stored {
    fn read(name: &str, node: &Node<'_>, types: &[&str]) -> Result<Stored> {
        let mut fields = node.object()?;
        let dtype = fields.take("dtype")?.text()?.to_owned();
        if !types.contains(&dtype.as_str()) {
            let found: String = dtype.chars().take(64).collect();
            let problem = format!("is stored as {found}, expected {}", types.join(" or "));
            return Err(Error::tensor(name, problem));
        }
        let integers =
            |node: Node<'_>| node.list()?.iter().map(Node::integer).collect::<Result<Vec<usize>>>();
        let shape = integers(fields.take("shape")?)?;
        let offsets = integers(fields.take("data_offsets")?)?;
        fields.finish()?;
        let width = match dtype.as_str() {
            "F64" => 8,
            "F32" => 4,
            _ => 2,
        };
        let values = shape.iter().try_fold(width, |all: usize, n| all.checked_mul(*n));
        match (values, offsets.as_slice()) {
            (Some(bytes @ 1..), [start, end]) if start.checked_add(bytes) == Some(*end) => {
                let (name, start, end) = (name.to_owned(), *start, *end);
                Ok(Stored { name, dtype, shape, start, end })
            }
            _ => {
                let problem = format!("has shape {shape:?}, which is not the size of {offsets:?}");
                Err(Error::tensor(name, problem))
            }
        }
    }

    pub(crate) fn bytes<'a>(&self, data: &'a [u8]) -> Result<&'a [u8]> {
        let bytes = data.get(self.start..self.end);
        bytes.ok_or_else(|| Error::tensor(&self.name, "reaches outside the file"))
    }

    /// What a file of ours holds under a site's name.
    fn direction(&self, data: &[u8]) -> Result<Direction> {
        let name = self.name.as_str();
        let site: Site = name.parse().map_err(|e| Error::site(format!("tensor {name}"), e))?;
        let [rank, _] = self.shape.as_slice() else {
            let problem = format!("has shape {:?}, expected [rank, d_model]", self.shape);
            return Err(Error::tensor(name, problem));
        };
        Direction::new(site, *rank, floats(self.bytes(data)?))
    }
}

pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// The tensors of a container, if they are of these types (F64, F32, or those of 16 bits) and fill it without gap or overlap,
/// in the order of the data.
pub(crate) fn stored(
    entries: Vec<(&str, Node<'_>)>,
    data: &[u8],
    types: &[&str],
) -> Result<Vec<Stored>> {
    if entries.len() > SITE_LIMIT {
        let found = entries.len();
        return Err(Error::not_a_vector(format!(
            "it has {found} tensors, expected at most {SITE_LIMIT}"
        )));
    }
    let read = entries.iter().map(|(name, node)| Stored::read(name, node, types));
    let mut stored: Vec<Stored> = read.collect::<Result<_>>()?;
    stored.sort_by_key(|tensor| tensor.start);
    let mut end = 0;
    for tensor in &stored {
        if tensor.start != end {
            return Err(Error::tensor(&tensor.name, "leaves a gap or overlaps another tensor"));
        }
        end = tensor.end;
    }
    if end != data.len() {
        return Err(Error::not_a_vector(format!(
            "its data is {} bytes long, expected {end}",
            data.len()
        )));
    }
    Ok(stored)
}
