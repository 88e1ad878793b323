//! Arithmetic whose result does not depend on how rows are grouped.
//!
//! candle's dense product takes another path for one row than for many, so a token's last bits would depend on
//! its batch-mates and on how a prompt was cut into passes. On the CPU the kernels here sum every product and
//! every attention row in one order, whatever the number of rows; prefill, chunks and decode then agree bit for
//! bit. What takes slices is for host memory. What takes tensors falls back to plain candle operations on other
//! devices, and those are also what the tests compare the kernels with.

pub mod add;
pub mod arena;
pub mod attention;
pub mod blocks;
pub mod columns;
pub mod dense;
pub mod heads;
#[cfg(feature = "testing")]
pub mod limits;
pub mod logits;
mod math;
pub mod pool;
pub mod prologue;
pub mod quant;
mod simd;
pub mod transposed;
#[cfg(target_arch = "x86_64")]
mod wide;
pub mod workspace;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor};

/// The contiguous f32 values behind a kernel's argument.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let all = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets().and_then(|(from, to)| all.get(from..to)) {
        Some(values) => Ok(values),
        None => candle_core::bail!("kernel argument is not contiguous: {layout:?}"),
    }
}

/// Lends the f32 values of a contiguous tensor in host memory.
pub(crate) fn with_values<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => values(storage, layout).map(f),
        _ => candle_core::bail!("a kernel of the cpu was given a tensor of another device"),
    }
}
