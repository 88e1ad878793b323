//! GGUF control vectors.
//!
//! The container is read by the runtime's bounded reader, which refuses duplicate names and counts that cannot be true.
//! It keeps no integer widths, and the width of one key tells llama.cpp's generator from repeng; so the metadata is
//! read a second time by candle, after the first reader has vouched for every length.

use super::origin::{Count, Origin};
use super::{Draft, ImportOptions, Imported, Mapped, Placed, glp, label};
use crate::direction::{Direction, WIDTH_LIMIT, finite, norm};
use crate::error::{Error, Result};
use crate::file::card::{Card, Operation};
use crate::file::{HEADER_LIMIT, VectorFile};
use candle_core::quantized::gguf_file;
use candle_core::{DType, Device};
use std::collections::BTreeMap;
use std::path::Path;
use trimtab_runtime::decoder::weights::metadata::{Metadata, Value};
use trimtab_runtime::decoder::weights::{Loaded, StoredType, Weights};
use trimtab_runtime::site::Site;

const KEY_LIMIT: usize = 4096;
const KEY_BYTES: usize = 256;
const TEXT_BYTES: usize = 64 << 10;
const ITEM_LIMIT: usize = 65_536;
const TENSOR_LIMIT: usize = 4096;
const HEADER: &str = "trimtab.header";

/// A file, read and within its limits.
pub(super) struct Raw {
    pub(super) metadata: Metadata,
    pub(super) layer_count: Option<Count>,
    /// In rising order of N, then of j.
    pub(super) tensors: Vec<RawTensor>,
}

/// `direction.N`, or `direction.N.j` for the further rows of a projection.
pub(super) struct RawTensor {
    pub(super) name: String,
    pub(super) number: i64,
    /// j, 0 for the first row.
    pub(super) row: usize,
    pub(super) values: Vec<f32>,
}

/// Reads a control vector.
pub(super) fn read(path: &Path, options: &ImportOptions) -> Result<Imported> {
    let raw = raw(path)?;
    let origin = Origin::of(&raw)?;
    if origin == Origin::Trimtab {
        return ours(raw, options);
    }
    let shift = origin.shift(options.layer_shift)?;
    one_row_each(&raw)?;
    let mut warnings = Vec::new();
    if origin == Origin::Repeng && options.layer_shift.is_none() {
        warnings.push(
            "taken as repeng's: direction.N is the output of block N; a layer shift says otherwise"
                .to_owned(),
        );
    }
    let (operation, place) = meaning(&raw, origin)?;
    let extra = notes(&raw.metadata);
    let mut rows = Vec::with_capacity(raw.tensors.len());
    let span = Span::of(&raw.tensors, shift, options.n_layers);
    for tensor in raw.tensors {
        let block = span.block(&tensor, shift)?;
        let (site, derived_at) = (place.site)(block);
        rows.push(Placed { tensor: tensor.name, site, derived_at, values: tensor.values });
    }
    let (name, scale, layer_shift) = (label(path, options), place.scale, options.layer_shift);
    let zeros = options.zeros;
    Draft { name, origin, operation, scale, layer_shift, zeros, rows, extra, warnings }.finish()
}

/// How a file's blocks become sites.
pub(super) struct Place {
    /// Acting and measured site of a block.
    pub(super) site: Box<dyn Fn(usize) -> (Site, Site)>,
    /// The file's own default scale.
    pub(super) scale: Option<f32>,
}

fn meaning(raw: &Raw, origin: Origin) -> Result<(Operation, Place)> {
    let stream = || Place {
        site: Box::new(|block| (Site::ResidPost(block), Site::ResidPost(block))),
        scale: None,
    };
    match origin {
        Origin::Glp => glp::meaning(raw),
        Origin::Turbospark { .. } => match text(raw, "turbospark.steering_mode")? {
            Some("add") | None => Ok((Operation::Add, stream())),
            Some("ablate") => Ok((Operation::Project, stream())),
            Some(other) => Err(Error::OperationUnknown {
                pointer: "turbospark.steering_mode".to_owned(),
                found: other.to_owned(),
            }),
        },
        _ => Ok((Operation::Add, stream())),
    }
}

pub(super) fn text<'a>(raw: &'a Raw, key: &str) -> Result<Option<&'a str>> {
    raw.metadata.text(key).map_err(|wrong| Error::not_a_vector(wrong.to_string()))
}

/// The blocks a file reaches, to say which shift would fit.
struct Span {
    lowest: i64,
    highest: i64,
    last: i64,
}

impl Span {
    fn of(tensors: &[RawTensor], shift: i64, n_layers: Option<usize>) -> Span {
        // Without a model: the largest block number a site can have.
        let last = n_layers.map_or(i64::from(u16::MAX), |n| n as i64 - 1);
        let numbers = || tensors.iter().map(|tensor| tensor.number + shift);
        let (lowest, highest) = (numbers().min().unwrap_or(0), numbers().max().unwrap_or(0));
        Span { lowest, highest, last }
    }

    fn block(&self, tensor: &RawTensor, shift: i64) -> Result<usize> {
        let block = tensor.number + shift;
        if (0..=self.last).contains(&block) {
            return Ok(block as usize);
        }
        let fit = if block < 0 { shift - self.lowest } else { shift + self.last - self.highest };
        let fits = self.highest - self.lowest <= self.last;
        let advice = if fits {
            format!("with --layer-shift {fit} every direction fits")
        } else {
            "no shift fits, it is for a deeper model".to_owned()
        };
        let (name, last) = (tensor.name.clone(), self.last.max(0) as usize);
        Err(Error::LayerRange { name, block, last, advice })
    }
}

fn raw(path: &Path) -> Result<Raw> {
    let weights = Weights::open(path)?;
    let metadata = weights.metadata().cloned().unwrap_or_default();
    let arch = metadata.text("general.architecture").ok().flatten();
    if let Some(other) = arch.filter(|arch| !["controlvector", "glp"].contains(arch)) {
        let other: String = other.chars().take(64).collect();
        let reason = format!("general.architecture is {other:?}, expected \"controlvector\"");
        return Err(Error::not_a_vector(reason));
    }
    limits(&metadata)?;
    let tensors = tensors(&weights)?;
    Ok(Raw { layer_count: layer_count(path)?, metadata, tensors })
}

fn limits(metadata: &Metadata) -> Result<()> {
    let keys = metadata.iter().count();
    if keys > KEY_LIMIT {
        return Err(Error::not_a_vector(format!(
            "it has {keys} keys, expected at most {KEY_LIMIT}"
        )));
    }
    for (key, value) in metadata.iter() {
        let most = if key == HEADER { HEADER_LIMIT } else { TEXT_BYTES };
        let (length, most) = match value {
            Value::Text(text) => (text.len(), most),
            Value::Texts(list) => {
                (list.iter().map(String::len).sum::<usize>().max(list.len()), most)
            }
            Value::Integers(list) => (list.len(), ITEM_LIMIT),
            Value::Floats(list) => (list.len(), ITEM_LIMIT),
            Value::Bools(list) => (list.len(), ITEM_LIMIT),
            Value::Unsigned(_) | Value::Signed(_) | Value::Float(_) | Value::Bool(_) => (0, 1),
        };
        if length > most || key.len() > KEY_BYTES {
            let (bytes, limit) = (length.max(key.len()) as u64, most as u64);
            return Err(Error::TooLarge { what: "metadata entry", bytes, limit });
        }
    }
    Ok(())
}

fn tensors(weights: &Weights) -> Result<Vec<RawTensor>> {
    let count = weights.tensors().count();
    if !(1..=TENSOR_LIMIT).contains(&count) {
        let reason = format!("it has {count} tensors, expected 1 to {TENSOR_LIMIT}");
        return Err(Error::not_a_vector(reason));
    }
    let mut tensors = Vec::with_capacity(count);
    for entry in weights.tensors() {
        let (name, shape) = (&entry.name, entry.shape.as_slice());
        let (number, row) = number(name)?;
        if !matches!(entry.dtype, StoredType::F32 | StoredType::F16 | StoredType::BF16) {
            let problem = format!("is stored as {}, expected F32, F16 or BF16", entry.dtype);
            return Err(Error::tensor(name, problem));
        }
        let [1..=WIDTH_LIMIT] = shape else {
            let problem =
                format!("has shape {shape:?}, expected one dimension up to {WIDTH_LIMIT}");
            return Err(Error::tensor(name, problem));
        };
        let values = values(weights, name)?;
        finite(name, &values)?;
        if norm(&values) == 0.0 {
            return Err(Error::tensor(name, "is all zero, so it has no direction; leave it out"));
        }
        tensors.push(RawTensor { name: name.clone(), number, row, values });
    }
    tensors.sort_by_key(|tensor| (tensor.number, tensor.row));
    let first = tensors.first().map_or(0, |tensor| tensor.values.len());
    match tensors.iter().find(|tensor| tensor.values.len() != first) {
        None => Ok(tensors),
        Some(other) => {
            let problem = format!("is {} wide, expected {first} as the others", other.values.len());
            Err(Error::tensor(&other.name, problem))
        }
    }
}

/// N of `direction.N`, in its one spelling, and the row: 0, or j of `direction.N.j`.
fn number(name: &str) -> Result<(i64, usize)> {
    let digits = name.strip_prefix("direction.").unwrap_or_default();
    let (digits, row) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |digits: &str| digits.parse::<u16>().ok().filter(|n| n.to_string() == digits);
    let row = if row.is_empty() { Some(0) } else { plain(row).filter(|row| *row > 0) };
    match plain(digits).zip(row) {
        Some((number, row)) if !name.ends_with('.') => Ok((number.into(), row.into())),
        _ => Err(Error::tensor(name, "is no direction.N; a control vector holds nothing else")),
    }
}

/// Several rows are read where a header of ours says what they mean.
fn one_row_each(raw: &Raw) -> Result<()> {
    match raw.tensors.iter().find(|tensor| tensor.row > 0) {
        None => Ok(()),
        Some(tensor) => {
            let problem = "is one row of several; only directions of one row are read from GGUF";
            Err(Error::tensor(&tensor.name, problem))
        }
    }
}

// -> [d_model]
fn values(weights: &Weights, name: &str) -> Result<Vec<f32>> {
    let at = |e| Error::Runtime(trimtab_runtime::Error::tensor(name)(e));
    match weights.load(name, &Device::Cpu)? {
        Loaded::Dense(tensor) => tensor.to_dtype(DType::F32).and_then(|t| t.to_vec1()).map_err(at),
        Loaded::Quantised(_) => Err(Error::tensor(name, "is quantised, expected F32, F16 or BF16")),
    }
}

fn layer_count(path: &Path) -> Result<Option<Count>> {
    let unreadable = |e: candle_core::Error| Error::not_a_vector(e.to_string());
    let file = std::fs::File::open(path);
    let mut file = file.map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let content = gguf_file::Content::read(&mut file).map_err(unreadable)?;
    Ok(match content.metadata.get("controlvector.layer_count") {
        Some(gguf_file::Value::U32(n)) => Some(Count::Unsigned(*n)),
        Some(gguf_file::Value::I32(n)) => Some(Count::Signed(*n)),
        _ => None,
    })
}

/// Everything the file says about itself, as text: types of one key differ between files of one program.
fn notes(metadata: &Metadata) -> BTreeMap<String, String> {
    let short = |(key, value): (&str, &Value)| {
        let text = match value {
            Value::Text(text) => text.clone(),
            Value::Unsigned(n) => n.to_string(),
            Value::Signed(n) => n.to_string(),
            Value::Float(n) => n.to_string(),
            Value::Bool(b) => b.to_string(),
            Value::Texts(list) => list.join(","),
            Value::Integers(list) => format!("{list:?}"),
            Value::Floats(list) => format!("{list:?}"),
            Value::Bools(list) => format!("{list:?}"),
        };
        (key.to_owned(), text)
    };
    metadata.iter().filter(|(key, _)| !key.starts_with("GGUF.")).map(short).collect()
}

/// Restores a file of ours from its header. Where a magnitude was multiplied in it is divided out, so a row may differ
/// from the original in its last bit, and the content hash is computed anew.
fn ours(raw: Raw, options: &ImportOptions) -> Result<Imported> {
    Origin::Trimtab.shift(options.layer_shift)?;
    let header = text(&raw, HEADER)?.unwrap_or_default();
    let mut card = crate::file::header(header.as_bytes())?.card;
    glp::verify_content(&raw)?;
    if let Some(name) = &options.name {
        card.name.clone_from(name);
    }
    let place = glp::acting(&raw)?;
    let (mut directions, mut mapping) = (Vec::new(), Vec::new());
    for rows in raw.tensors.chunk_by(|a, b| a.number == b.number) {
        let Some(first) = rows.first() else { continue };
        let site = place(first.number as usize);
        let (direction, norm) = restored(&card, site, rows)?;
        directions.push(direction);
        mapping.push(Mapped { tensor: first.name.clone(), site, norm });
    }
    let mut warnings = Vec::new();
    let kept = |site: &Site| directions.iter().any(|d: &Direction| d.site() == *site);
    let lost: Vec<Site> = card.sites.keys().copied().filter(|site| !kept(site)).collect();
    for site in lost {
        card.sites.remove(&site);
        warnings.push(format!("{site} was left out when the file was exported"));
    }
    let file = VectorFile::new(card, directions)?;
    Ok(Imported { file, origin: Origin::Trimtab, mapping, warnings })
}

/// The direction of a site, and the length of its first row in the file.
fn restored(card: &Card, site: Site, rows: &[RawTensor]) -> Result<(Direction, f32)> {
    match (card.operation, rows) {
        (Operation::Add, [tensor]) => {
            let (direction, length) = Direction::normalised(site, &tensor.values)?;
            let stated = card.sites.get(&site).and_then(|entry| entry.magnitude);
            let stated =
                stated.ok_or_else(|| Error::tensor(&tensor.name, "has no magnitude in /sites"))?;
            if (length - stated).abs() > 1e-3 * stated {
                let problem = format!("has length {length}, its magnitude is {stated}");
                return Err(Error::tensor(&tensor.name, problem));
            }
            Ok((direction, length))
        }
        (Operation::Project, rows) => {
            if let Some((_, tensor)) = rows.iter().enumerate().find(|(at, row)| *at != row.row) {
                return Err(Error::tensor(&tensor.name, "leaves a row out before it"));
            }
            let values = rows.iter().flat_map(|row| row.values.iter().copied()).collect();
            Ok((Direction::new(site, rows.len(), values)?, 1.0))
        }
        (operation, _) => {
            let reason = format!("{HEADER} is of a {} vector", operation.kind());
            Err(Error::Refused { what: "GGUF import", reason })
        }
    }
}
