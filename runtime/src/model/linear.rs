//! Products with frozen weights, dense or quantised, and RMS norms.

use crate::error::{Error, Result};
use crate::kernels::dense;
use crate::kernels::prologue::Prologue;
use crate::kernels::quant::{self, Fidelity, Matrix};
use crate::model::spec::Activation;
use candle_core::quantized::QTensor;
use candle_core::{DType, Tensor};
use std::sync::Arc;

/// `before(x) · weightᵀ + bias`.
#[derive(Debug)]
pub(crate) struct Linear {
    name: String,
    weight: Weight,
    bias: Option<Tensor>,
    fidelity: Fidelity,
}

/// What is done to a row before it is multiplied.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Before<'a> {
    /// Nothing.
    Nothing,
    /// A norm.
    Norm(&'a RmsNorm),
    /// The row is gate‖up.
    Gate(Activation),
}

/// A frozen matrix, `[out, in]`.
#[derive(Debug, Clone)]
pub(crate) enum Weight {
    /// Dense, on the device.
    Dense(Tensor),
    /// In its file's blocks on a device other than the CPU, multiplied by candle.
    Quantised(Arc<QTensor>),
    /// Repacked for the CPU, multiplied by our own kernels.
    Tiled(Arc<Matrix>),
}

impl Weight {
    /// Whether both are the same matrix in memory.
    pub(crate) fn is(&self, other: &Weight) -> bool {
        match (self, other) {
            (Weight::Dense(a), Weight::Dense(b)) => a.id() == b.id(),
            (Weight::Quantised(a), Weight::Quantised(b)) => Arc::ptr_eq(a, b),
            (Weight::Tiled(a), Weight::Tiled(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

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
    fn product(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Weight::Dense(w) if w.dtype() == DType::F32 => dense::linear(x, w),
            Weight::Dense(w) => dense::linear(&x.to_dtype(w.dtype())?, w)?.to_dtype(DType::F32),
            Weight::Quantised(q) => x.contiguous()?.apply_op1_no_bwd(q.as_ref()),
            Weight::Tiled(tiles) => quant::linear(x, tiles, Prologue::None, Fidelity::Once),
        }
    }
}

impl Linear {
    pub(crate) fn new(name: String, weight: Weight, bias: Option<Tensor>) -> Self {
        Linear { name, weight, bias, fidelity: Fidelity::Once }
    }

    /// The output head, whose rounding errors nothing later averages out.
    pub(crate) fn head(name: String, weight: Weight) -> Self {
        Linear { name, weight, bias: None, fidelity: Fidelity::Twice }
    }

    /// The rows of several matrices as one, so that they share their input: tiles of one format without biases.
    pub(crate) fn stack(parts: &[Linear]) -> Option<Linear> {
        let tiles = parts.iter().map(|part| match (&part.weight, &part.bias) {
            (Weight::Tiled(tiles), None) => Some(tiles.as_ref()),
            _ => None,
        });
        let all = Matrix::stack(&tiles.collect::<Option<Vec<&Matrix>>>()?)?;
        let names: Vec<&str> = parts.iter().map(|p| p.name.as_str()).collect();
        Some(Linear::new(names.join("+"), Weight::Tiled(Arc::new(all)), None))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.weight.bytes()
    }

    /// Whether its matrix is this one.
    pub(crate) fn shares(&self, weight: &Weight) -> bool {
        self.weight.is(weight)
    }

    // x [time, in], or [time, 2·in] behind a gate -> [time, out]
    pub(crate) fn forward(&self, x: &Tensor, before: Before) -> Result<Tensor> {
        let product = match &self.weight {
            Weight::Tiled(tiles) => quant::linear(x, tiles, before.prologue(), self.fidelity),
            other => before.apply(x).and_then(|x| other.product(&x)),
        };
        let sum = match &self.bias {
            Some(bias) => product.and_then(|p| p.broadcast_add(bias)),
            None => product,
        };
        sum.map_err(|source| Error::Tensor { at: self.name.clone(), source })
    }
}

impl Before<'_> {
    fn prologue(&self) -> Prologue<'_> {
        match self {
            Before::Nothing => Prologue::None,
            Before::Norm(norm) => Prologue::Norm { weight: &norm.host, eps: norm.eps },
            Before::Gate(activation) => Prologue::Gated(*activation),
        }
    }

    // x [time, in or 2·in] -> [time, in]
    fn apply(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Before::Nothing => Ok(x.clone()),
            Before::Norm(norm) => norm.apply(x),
            Before::Gate(activation) => {
                let half = x.dim(1)? / 2;
                let (gate, up) = (x.narrow(1, 0, half)?, x.narrow(1, half, half)?);
                match activation {
                    Activation::Silu => gate.silu()? * up,
                    Activation::GeluTanh => gate.gelu()? * up,
                }
            }
        }
    }
}

/// Root-mean-square norm with a weight.
#[derive(Debug)]
pub(crate) struct RmsNorm {
    /// `[width]`
    weight: Tensor,
    /// The same on the host, for kernels that read it there.
    host: Vec<f32>,
    eps: f32,
}

impl RmsNorm {
    // weight [width]
    pub(crate) fn new(weight: Tensor, eps: f32) -> candle_core::Result<Self> {
        let host = weight.to_vec1::<f32>()?;
        Ok(RmsNorm { weight, host, eps })
    }

    pub(crate) fn into_host(self) -> (Vec<f32>, f32) {
        (self.host, self.eps)
    }

    // x [time, width] -> the same, every row normalised
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x).map_err(Error::tensor("norm"))
    }

    // as `forward`
    fn apply(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        candle_nn::ops::rms_norm(&x.contiguous()?, &self.weight, self.eps)
    }
}
