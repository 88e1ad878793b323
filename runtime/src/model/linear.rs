//! Products with frozen weights, dense or quantised, and RMS norms.

use crate::error::{Error, Result};
use crate::kernels::dense;
use crate::kernels::quant::{self, Fidelity, Tiles};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Tensor};
use std::sync::Arc;

/// `x · weightᵀ + bias`.
#[derive(Debug)]
pub(crate) struct Linear {
    name: String,
    weight: Weight,
    bias: Option<Tensor>,
    fidelity: Fidelity,
}

/// A frozen matrix, `[out, in]`.
#[derive(Debug, Clone)]
pub(crate) enum Weight {
    /// Dense, on the device.
    Dense(Tensor),
    /// In its file's blocks, multiplied by candle.
    Quantised(Arc<QTensor>),
    /// Repacked for the CPU, multiplied by our own kernels.
    Tiled(Arc<Tiles>),
}

impl Weight {
    /// Bytes it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Weight::Dense(t) => t.elem_count() * t.dtype().size_in_bytes(),
            Weight::Quantised(q) => q.storage_size_in_bytes(),
            Weight::Tiled(tiles) => tiles.bytes(),
        }
    }

    // ids [time] -> [time, in], rows of the matrix in f32
    pub(crate) fn rows(&self, ids: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Weight::Dense(t) => t.index_select(ids, 0)?.to_dtype(DType::F32),
            Weight::Quantised(q) => q.embedding(ids)?.to_dtype(DType::F32),
            Weight::Tiled(tiles) => {
                let ids = ids.to_vec1::<u32>()?;
                let rows: Vec<f32> = ids.iter().flat_map(|id| tiles.row(*id as usize)).collect();
                Tensor::from_vec(rows, (ids.len(), tiles.width()), &candle_core::Device::Cpu)
            }
        }
    }

    // x [time, in] -> [time, out]
    fn product(&self, x: &Tensor, fidelity: Fidelity) -> candle_core::Result<Tensor> {
        match self {
            Weight::Dense(w) if w.dtype() == DType::F32 => dense::linear(x, w),
            Weight::Dense(w) => dense::linear(&x.to_dtype(w.dtype())?, w)?.to_dtype(DType::F32),
            Weight::Quantised(q) if sums_by_row_count(q) && x.device().is_cpu() => one_by_one(x, q),
            Weight::Quantised(q) => x.contiguous()?.apply_op1_no_bwd(q.as_ref()),
            Weight::Tiled(tiles) => quant::linear(x, tiles, fidelity),
        }
    }
}

/// candle's Q6_K kernel for several rows sums in another order than the one for a single row.
fn sums_by_row_count(weight: &QTensor) -> bool {
    weight.dtype() == GgmlDType::Q6K
}

// x [time, in] -> [time, out], each row as if it were alone
fn one_by_one(x: &Tensor, weight: &QTensor) -> candle_core::Result<Tensor> {
    let x = x.contiguous()?;
    let rows: candle_core::Result<Vec<Tensor>> =
        (0..x.dim(0)?).map(|t| x.narrow(0, t, 1)?.apply_op1_no_bwd(weight)).collect();
    Tensor::cat(&rows?, 0)
}

impl Linear {
    pub(crate) fn new(name: String, weight: Weight, bias: Option<Tensor>) -> Self {
        Linear { name, weight, bias, fidelity: Fidelity::Once }
    }

    /// The output head, whose rounding errors nothing later averages out.
    pub(crate) fn head(name: String, weight: Weight) -> Self {
        Linear { name, weight, bias: None, fidelity: Fidelity::Twice }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.weight.bytes()
    }

    // x [time, in] -> [time, out]
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let product = self.weight.product(x, self.fidelity);
        let sum = match &self.bias {
            Some(bias) => product.and_then(|p| p.broadcast_add(bias)),
            None => product,
        };
        sum.map_err(|source| Error::Tensor { at: self.name.clone(), source })
    }
}

/// Root-mean-square norm with a weight.
#[derive(Debug)]
pub(crate) struct RmsNorm {
    /// `[width]`
    pub weight: Tensor,
    pub eps: f32,
}

impl RmsNorm {
    // x [time, n·width] -> the same, every run of `width` values normalised
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let width = self.weight.elem_count();
        let normed = || {
            let shape = x.shape().clone();
            let runs = x.contiguous()?.reshape(((), width))?;
            candle_nn::ops::rms_norm(&runs, &self.weight, self.eps)?.reshape(shape)
        };
        normed().map_err(Error::tensor("norm"))
    }
}
