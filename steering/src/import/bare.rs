//! Files that hold numbers and say nothing: safetensors without our header, and bare f32 values.
//!
//! What is done with the directions, and where names are not sites also where they act, must come from the caller. Rows
//! are of any length, which becomes the magnitude.

use super::pattern::Pattern;
use super::{Draft, Effect, ImportOptions, Imported, Origin, Placed, label};
use crate::direction::WIDTH_LIMIT;
use crate::error::{Error, Result};
use crate::file::json::Node;
use crate::file::json::parse;
use crate::file::{floats, halves, is_ours, stored};
use std::collections::BTreeMap;
use std::path::Path;
use trimtab_runtime::site::Site;

/// Rows of a file of bare values: sites of one file.
const ROW_LIMIT: usize = 4096;

/// Reads a safetensors file without our header.
pub(super) fn tensors(bytes: &[u8], name: String, options: &ImportOptions) -> Result<Imported> {
    if is_ours(bytes)? {
        let reason = "it is a native vector file, which is opened and not imported";
        return Err(Error::not_a_vector(reason));
    }
    let (json, data) = halves(bytes)?;
    let value = parse(json)?;
    let mut entries = Node::root(&value).object()?;
    let mut extra = BTreeMap::new();
    if let Some(metadata) = entries.take_if_there("__metadata__") {
        for (key, node) in metadata.object()?.rest() {
            extra.insert(key.to_owned(), node.text()?.to_owned());
        }
    }
    let pattern = Pattern::of(options.site.as_deref())?;
    let origin = match pattern {
        Pattern::Names => Origin::Tensors,
        Pattern::Numbers { .. } | Pattern::Rows { .. } => Origin::Placed,
    };
    let shift = origin.shift(options.layer_shift)?;
    let mut rows = Vec::new();
    for tensor in stored(entries.rest(), data, &["F32", "F64", "F16", "BF16"])? {
        let stack = stack(&tensor.name, &tensor.shape, &pattern)?;
        let bytes = tensor.bytes(data)?;
        let values = match tensor.dtype.as_str() {
            "F32" => floats(bytes),
            "F64" => doubles(&tensor.name, bytes)?,
            half => halves_of(half, bytes),
        };
        let width = values.len() / stack.len().max(1);
        for (name, values) in stack.into_iter().zip(values.chunks_exact(width.max(1))) {
            let Some(site) = pattern.site(&name, shift)? else { continue };
            let site = within(&name, site, options)?;
            rows.push(Placed { tensor: name, site, derived_at: site, values: values.to_vec() });
        }
    }
    rows.sort_by_key(|row| row.site);
    let operation = effect(options)?.operation();
    let layer_shift = options.layer_shift;
    let (zeros, warnings) = (options.zeros, Vec::new());
    Draft { name, origin, operation, scale: None, layer_shift, zeros, rows, extra, warnings }
        .finish()
}

/// Reads bare f32 values, row by row from block 0 on. Their readers subtract the projection, so positive removes.
pub(super) fn values(
    path: &Path,
    size: u64,
    shape: [usize; 2],
    options: &ImportOptions,
) -> Result<Imported> {
    Origin::Values.shift(options.layer_shift)?;
    let [blocks, width] = shape;
    if !(1..=ROW_LIMIT).contains(&blocks) || !(1..=WIDTH_LIMIT).contains(&width) {
        let reason = format!("{blocks}x{width} is not 1 to {ROW_LIMIT} rows of 1 to {WIDTH_LIMIT}");
        return Err(Error::Refused { what: "--shape", reason });
    }
    // Both are bounded, so the product fits.
    let expected = (blocks * width * size_of::<f32>()) as u64;
    if size != expected {
        let reason = format!("it has {size} bytes, {blocks}x{width} f32 values are {expected}");
        return Err(Error::not_a_vector(reason));
    }
    if effect(options)? != Effect::Project {
        let reason = "bare f32 values are subtracted by the programs that read them".to_owned();
        return Err(Error::Refused { what: "--op add", reason });
    }
    let at = site_of(options.site.as_deref())?;
    let values = floats(&crate::file::read(path, expected)?);
    let mut rows = Vec::with_capacity(blocks);
    for (block, row) in values.chunks_exact(width).enumerate() {
        let tensor = format!("row {block}");
        let site = within(&tensor, at(block), options)?;
        rows.push(Placed { tensor, site, derived_at: site, values: row.to_vec() });
    }
    Draft {
        name: label(path, options),
        origin: Origin::Values,
        operation: Effect::Project.operation(),
        scale: None,
        layer_shift: None,
        zeros: options.zeros,
        rows,
        extra: BTreeMap::new(),
        warnings: Vec::new(),
    }
    .finish()
}

fn effect(options: &ImportOptions) -> Result<Effect> {
    let reason =
        "the file does not say what is done with its directions; give --op add or --op project";
    options.effect.ok_or_else(|| Error::Refused { what: "import", reason: reason.to_owned() })
}

fn site_of(text: Option<&str>) -> Result<fn(usize) -> Site> {
    match text {
        Some("mlp_out" | "mlp_out.{n}") => Ok(Site::MlpOut),
        Some("attn_out" | "attn_out.{n}") => Ok(Site::AttnOut),
        other => {
            let found = other.unwrap_or("missing");
            let reason = format!("{found} is neither mlp_out nor attn_out, where such files act");
            Err(Error::Refused { what: "--site", reason })
        }
    }
}

/// The site, if the model has it.
fn within(name: &str, site: Site, options: &ImportOptions) -> Result<Site> {
    match (options.n_layers, site.block()) {
        (Some(n_layers), Some(block)) if block >= n_layers => Err(Error::LayerRange {
            name: name.to_owned(),
            block: block as i64,
            last: n_layers.saturating_sub(1),
            advice: "it is for a deeper model".to_owned(),
        }),
        _ => Ok(site),
    }
}

/// The names of a tensor's rows: its own, or of a stack `name[0]`, `name[1]` and so on. A stack is only read where the
/// caller's pattern says what its rows are.
fn stack(name: &str, shape: &[usize], pattern: &Pattern) -> Result<Vec<String>> {
    match shape {
        [1..=WIDTH_LIMIT] | [1, 1..=WIDTH_LIMIT] if !pattern.is_of_rows() => {
            Ok(vec![name.to_owned()])
        }
        [rows @ 1..=ROW_LIMIT, 1..=WIDTH_LIMIT] if pattern.is_of_rows() => {
            Ok((0..*rows).map(|row| format!("{name}[{row}]")).collect())
        }
        [(2..), _] => {
            let problem = format!(
                "has shape {shape:?}, a stack of rows; say what they are, such as --site '{name}[n]=resid_post.{{n}}', or \
                 {{n-1}} if the first is the embedding's"
            );
            Err(Error::tensor(name, problem))
        }
        _ => {
            let problem = format!("has shape {shape:?}, expected one row of up to {WIDTH_LIMIT}");
            Err(Error::tensor(name, problem))
        }
    }
}

/// Values of 64 bits as f32; one that f32 cannot hold is refused.
fn doubles(name: &str, bytes: &[u8]) -> Result<Vec<f32>> {
    let value = |(index, bytes): (usize, &[u8])| {
        let wide = <[u8; 8]>::try_from(bytes).map(f64::from_le_bytes).unwrap_or(f64::NAN);
        let narrow = wide as f32;
        let not_finite = || Error::NotFinite { name: name.to_owned(), index };
        Some(narrow).filter(|value| value.is_finite()).ok_or_else(not_finite)
    };
    bytes.chunks_exact(8).enumerate().map(value).collect()
}

/// Values of 16 bits as f32.
fn halves_of(dtype: &str, bytes: &[u8]) -> Vec<f32> {
    let pairs = bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    match dtype {
        "BF16" => pairs.map(|bits| f32::from_bits(u32::from(bits) << 16)).collect(),
        _ => pairs.map(half).collect(),
    }
}

/// An IEEE half as f32, which holds every one exactly.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_read() {
        // From numpy: np.float16(x).view(np.uint16)
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x0001, 5.960_464_5e-8),
            (0x3555, 0.333_251_95),
            (0x7bff, 65504.0),
            (0x0000, 0.0),
        ] {
            assert_eq!(half(bits), value);
        }
        assert!(half(0x7c00).is_infinite() && half(0x7e00).is_nan());
        assert_eq!(halves_of("BF16", &[0x80, 0x3f, 0x20, 0xc0]), [1.0, -2.5]);
    }
}
