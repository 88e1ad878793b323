//! From stored bytes to tensors on a device, and the fingerprint of the stored bytes.

use std::borrow::Cow;
use std::path::Path;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Tensor};
use sha2::{Digest, Sha256};

use super::stored::Form;
use super::{Error, Placed, Weights};

/// candle reinterprets the bytes of a quantised tensor and asserts their alignment; no block of its
/// asks for more than this. (For dense tensors it copies by itself where it must.)
const BLOCK_ALIGNMENT: usize = 16;
/// Bytes hashed at each end of a tensor.
const HASHED_END: usize = 4096;

/// A tensor on a device.
#[derive(Debug)]
pub enum Loaded {
    /// Block-quantised, as stored.
    Quantised(QTensor),
    /// f32, f16 or bf16, as stored.
    Dense(Tensor),
}

impl Weights {
    /// Copies a tensor to a device, in the type it is stored in.
    pub fn load(&self, name: &str, device: &Device) -> Result<Loaded, Error> {
        let placed = self.find(name)?;
        let form = placed.entry.dtype.form();
        let form = form.ok_or_else(|| Error::Unsupported {
            path: self.path_of(placed).to_owned(),
            tensor: name.to_owned(),
            dtype: placed.entry.dtype,
        })?;
        let (bytes, shape) = (self.stored(placed), placed.entry.shape.as_slice());
        let loaded = match form {
            Form::Dense(dtype) => dense(bytes, dtype, shape, device).map(Loaded::Dense),
            Form::Quantised(dtype) => quantised(bytes, dtype, shape, device).map(Loaded::Quantised),
        };
        loaded.map_err(|source| Error::Candle {
            path: self.path_of(placed).to_owned(),
            tensor: name.to_owned(),
            source: Box::new(source),
        })
    }

    /// The stored bytes of a tensor of any type, read from the file as they are touched.
    pub fn bytes(&self, name: &str) -> Result<&[u8], Error> {
        self.find(name).map(|placed| self.stored(placed))
    }

    /// `weights_sha256`: tells builds of a model apart and is cheap, but is no seal.
    ///
    /// SHA-256 over all tensors in byte order of their names, each as name, `\n`, type (as
    /// [`StoredType`](super::StoredType) prints it), `\n`, shape (outermost first, joined by `,`),
    /// `\n`, then the first and last 4,096 stored bytes, or all of them up to 8,192.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        for placed in &self.tensors {
            let entry = &placed.entry;
            let shape: Vec<String> = entry.shape.iter().map(usize::to_string).collect();
            let head = format!("{}\n{}\n{}\n", entry.name, entry.dtype, shape.join(","));
            hash.update(head.as_bytes());
            let bytes = self.stored(placed);
            match (bytes.first_chunk::<HASHED_END>(), bytes.last_chunk::<HASHED_END>()) {
                (Some(first), Some(last)) if bytes.len() > 2 * HASHED_END => {
                    hash.update(first);
                    hash.update(last);
                }
                _ => hash.update(bytes),
            }
        }
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The file a tensor lies in.
    pub(super) fn path_of(&self, placed: &Placed) -> &Path {
        self.files.get(placed.file).map_or(self.path.as_path(), |file| file.path())
    }

    fn find(&self, name: &str) -> Result<&Placed, Error> {
        self.placed(name)
            .ok_or_else(|| Error::NoTensor { path: self.path.clone(), tensor: name.to_owned() })
    }

    /// The readers have checked that these bytes exist, so the empty slice is never returned.
    fn stored(&self, placed: &Placed) -> &[u8] {
        self.files
            .get(placed.file)
            .and_then(|file| file.bytes().get(placed.start..))
            .and_then(|rest| rest.get(..placed.entry.bytes))
            .unwrap_or_default()
    }
}

fn dense(
    bytes: &[u8],
    dtype: DType,
    shape: &[usize],
    device: &Device,
) -> candle_core::Result<Tensor> {
    Tensor::from_raw_buffer(bytes, dtype, shape, device)
}

fn quantised(
    bytes: &[u8],
    dtype: GgmlDType,
    shape: &[usize],
    device: &Device,
) -> candle_core::Result<QTensor> {
    with_aligned(bytes, |bytes| {
        QTensor::new(QStorage::from_data(Cow::Borrowed(bytes), device, dtype)?, shape)
    })
}

/// Calls `read` with the bytes at an aligned address. Files with the default alignment of 32 are
/// aligned where they are mapped; only others are copied first.
fn with_aligned<T>(bytes: &[u8], read: impl FnOnce(&[u8]) -> T) -> T {
    if bytes.as_ptr().addr().is_multiple_of(BLOCK_ALIGNMENT) {
        return read(bytes);
    }
    let mut copy: Vec<u8> = Vec::with_capacity(bytes.len() + BLOCK_ALIGNMENT);
    let gap = copy.as_ptr().addr().wrapping_neg() % BLOCK_ALIGNMENT;
    // The capacity holds gap and bytes, so neither step moves the buffer.
    copy.resize(gap, 0);
    copy.extend_from_slice(bytes);
    read(copy.get(gap..).unwrap_or(bytes))
}
