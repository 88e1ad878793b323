//! Products with frozen weights, dense or quantised, and RMS norms.

use crate::decoder::spec::Activation;
use crate::error::{Error, Result};
use crate::kernels::output_columns::Columns;
use crate::kernels::prologue::Prologue;
use crate::kernels::quant::{self, Activations, Fidelity, Input, Matrix};
use crate::kernels::transposed::{self, Rows};
use crate::kernels::{dense, with_values};
use candle_core::quantized::QTensor;
use candle_core::{DType, Tensor};
use std::sync::Arc;

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
    Nothing,
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

    /// Width of its rows.
    pub(super) fn width(&self) -> usize {
        match self {
            Weight::Dense(w) => w.dims().last().copied().unwrap_or(0),
            Weight::Quantised(q) => q.shape().dims().last().copied().unwrap_or(0),
            Weight::Tiled(tiles) => tiles.width(),
        }
    }

    /// Where candle keeps it; tiles are in host memory and not candle's.
    fn device(&self) -> Option<candle_core::Device> {
        match self {
            Weight::Dense(w) => Some(w.device().clone()),
            Weight::Quantised(q) => Some(q.device()),
            Weight::Tiled(_) => None,
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

    // ids [time] -> out [time, in], rows of the matrix in f32
    pub(crate) fn rows_on_host(&self, ids: &[u32], out: &mut [f32]) -> candle_core::Result<()> {
        if let Weight::Tiled(tiles) = self {
            for (id, out) in ids.iter().zip(out.chunks_mut(tiles.width())) {
                tiles.read_row(*id as usize, out);
            }
            return Ok(());
        }
        let rows = self.rows(&Tensor::new(ids, &candle_core::Device::Cpu)?)?;
        with_values(&rows, |rows| out.copy_from_slice(rows))
    }

    // ids [time] -> [time, in], rows of the matrix in f32
    pub(crate) fn rows(&self, ids: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Weight::Dense(t) => t.index_select(ids, 0)?.to_dtype(DType::F32),
            Weight::Quantised(q) => q.embedding(ids)?.to_dtype(DType::F32),
            Weight::Tiled(tiles) => {
                let ids = ids.to_vec1::<u32>()?;
                let mut rows = vec![0f32; ids.len() * tiles.width()];
                self.rows_on_host(&ids, &mut rows)?;
                Tensor::from_vec(rows, (ids.len(), tiles.width()), &candle_core::Device::Cpu)
            }
        }
    }
}

/// A product of dense weights in host memory.
// x [time, in or 2·in], w [out, in] -> out [time, columns]
fn dense_on_host(w: &Tensor, x: &[f32], before: Before, out: Columns) -> candle_core::Result<()> {
    let (columns, width) = w.dims2()?;
    let prologue = before.prologue();
    let time = x.len() / prologue.input_width(width);
    let mut prepared = Vec::new();
    let rows = match before {
        Before::Nothing => x,
        Before::Norm(_) | Before::Gate(_) => {
            prepared.resize(time * width, 0.0);
            prologue.rows(x, &mut prepared, width);
            &prepared
        }
    };
    let product = with_values(w, |w| dense::product(rows, w, width))?;
    match out.put(&product, columns) {
        Some(()) => Ok(()),
        None => candle_core::bail!("product of {time} rows does not fit its place"),
    }
}

// x [time, in] · w [out, in] -> [time, out]
fn dense_product(x: &Tensor, w: &Tensor) -> candle_core::Result<Tensor> {
    match w.dtype() {
        DType::F32 => dense::linear(x, w),
        other => dense::linear(&x.to_dtype(other)?, w)?.to_dtype(DType::F32),
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

    pub(crate) fn bytes(&self) -> usize {
        self.weight.bytes()
    }

    /// Whether its matrix is this one.
    pub(crate) fn shares(&self, weight: &Weight) -> bool {
        self.weight.is(weight)
    }

    /// Columns of its result.
    pub(super) fn out(&self) -> usize {
        match &self.weight {
            Weight::Dense(w) => w.dims().first().copied().unwrap_or(0),
            Weight::Quantised(q) => q.shape().dims().first().copied().unwrap_or(0),
            Weight::Tiled(tiles) => tiles.out(),
        }
    }

    /// Whether a product may be added to what is there in one step: a bias has to be added to the product first.
    pub(super) fn adds_in_one_step(&self) -> bool {
        self.bias.is_none()
    }

    /// Whether its input is rounded before it multiplies.
    pub(super) fn is_tiled(&self) -> bool {
        matches!(self.weight, Weight::Tiled(_))
    }

    /// Rounds rows for this product and for every other of the same input.
    // x [time, in], or [time, 2·in] behind a gate
    pub(super) fn round(&self, x: &[f32], before: Before, quants: &mut Activations) -> Result<()> {
        let input = Input { values: x, prologue: before.prologue(), fidelity: self.fidelity };
        quants.quantise(input, self.weight.width()).map_err(|source| self.failed(source))
    }

    /// The product in host memory of rows that were rounded.
    // quants [time, in] -> out [time, columns]
    pub(super) fn multiply(&self, quants: &Activations, mut out: Columns) -> Result<()> {
        let product = match &self.weight {
            Weight::Tiled(tiles) => tiles.multiply(quants, out.again()),
            Weight::Dense(_) | Weight::Quantised(_) => Err(not_in_tiles()),
        };
        product.and_then(|()| self.shift(out)).map_err(|source| self.failed(source))
    }

    /// The product in host memory.
    // x [time, in], or [time, 2·in] behind a gate -> out [time, columns]
    pub(super) fn on_host(
        &self,
        x: &[f32],
        before: Before,
        quants: &mut Activations,
        mut out: Columns,
    ) -> Result<()> {
        let Weight::Dense(w) = &self.weight else {
            self.round(x, before, quants)?;
            return self.multiply(quants, out);
        };
        let product = dense_on_host(w, x, before, out.again());
        product.and_then(|()| self.shift(out)).map_err(|source| self.failed(source))
    }

    /// Adds the bias, if there is one.
    // out [time, columns]
    fn shift(&self, mut out: Columns) -> candle_core::Result<()> {
        match &self.bias {
            Some(bias) => with_values(bias, |bias| out.shift(bias)),
            None => Ok(()),
        }
    }

    /// Rows of the matrix in f32, dequantised.
    // ids [k] -> [k, in]
    pub(super) fn rows(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let rows = match self.weight.device() {
            Some(device) if !device.is_cpu() => Tensor::new(ids, &device)
                .and_then(|ids| self.weight.rows(&ids)?.flatten_all()?.to_vec1::<f32>()),
            Some(_) | None => {
                let mut rows = vec![0f32; ids.len() * self.weight.width()];
                self.weight.rows_on_host(ids, &mut rows).map(|()| rows)
            }
        };
        rows.map_err(|source| self.failed(source))
    }

    /// The product with the transposed matrix.
    // g [n, out] -> [n, in]
    pub(super) fn transposed(&self, g: &[f32]) -> Result<Vec<f32>> {
        let shape = (self.out(), self.weight.width());
        let product = match &self.weight {
            Weight::Tiled(tiles) => Ok(transposed::product(Rows::Tiled(tiles), g, shape)),
            Weight::Dense(w) if w.device().is_cpu() && w.dtype() == DType::F32 => {
                with_values(w, |w| transposed::product(Rows::Dense(w), g, shape))
            }
            weight => transposed_on_device(weight, g, shape),
        };
        product.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: candle_core::Error) -> Error {
        Error::Tensor { at: self.name.clone(), source }
    }

    // x [time, in], or [time, 2·in] behind a gate -> [time, out]
    pub(crate) fn forward(&self, x: &Tensor, before: Before) -> Result<Tensor> {
        let product = match &self.weight {
            Weight::Tiled(tiles) => quant::linear(x, tiles, before.prologue(), self.fidelity),
            Weight::Dense(w) => before.apply(x).and_then(|x| dense_product(&x, w)),
            Weight::Quantised(q) => {
                before.apply(x).and_then(|x| x.contiguous()?.apply_op1_no_bwd(q.as_ref()))
            }
        };
        let sum = match &self.bias {
            Some(bias) => product.and_then(|p| p.broadcast_add(bias)),
            None => product,
        };
        sum.map_err(|source| self.failed(source))
    }
}

/// Rows of a matrix that are in f32 on a device at one time.
const DEVICE_ROWS: usize = 4096;

// weight [out, in], g [n, out] -> [n, in]
fn transposed_on_device(
    weight: &Weight,
    g: &[f32],
    (out, width): (usize, usize),
) -> candle_core::Result<Vec<f32>> {
    let device = weight.device().unwrap_or(candle_core::Device::Cpu);
    let g = Tensor::from_slice(g, (g.len() / out, out), &device)?;
    let mut sums = Tensor::zeros((g.dim(0)?, width), DType::F32, &device)?;
    for first in (0..out).step_by(DEVICE_ROWS) {
        let count = DEVICE_ROWS.min(out - first);
        let ids = Tensor::arange(first as u32, (first + count) as u32, &device)?;
        let part = g.narrow(1, first, count)?.contiguous()?.matmul(&weight.rows(&ids)?)?;
        sums = (sums + part)?;
    }
    sums.flatten_all()?.to_vec1()
}

fn not_in_tiles() -> candle_core::Error {
    candle_core::Error::msg("a product in host memory needs dense weights or tiles")
}

/// `r·v − r³·x·(x·v)/width`, `r` the inverse root mean square of `x`; sums in f64, in order.
// x [width], v [width] -> [width]
fn projected<'a>(x: &'a [f32], v: &'a [f32], eps: f32) -> impl Iterator<Item = f64> + 'a {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let width = x.len() as f64;
    let inverse = 1.0 / (dot(x, x) / width + f64::from(eps)).sqrt();
    let along = inverse.powi(3) * dot(x, v) / width;
    x.iter().zip(v).map(move |(x, v)| inverse * f64::from(*v) - along * f64::from(*x))
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

    /// Its weight in host memory, `[width]`.
    pub(super) fn weight_on_host(&self) -> &[f32] {
        &self.host
    }

    // x [time, width] -> every row normalised, in its place
    pub(super) fn on_host(&self, x: &mut [f32]) {
        Prologue::Norm { weight: &self.host, eps: self.eps }.in_place(x, self.host.len());
    }

    /// The derivative at `at` in the directions `v`: `w·(r·v − r³·x·(x·v)/width)`, `r` the inverse root mean square.
    // at [time, width], v [time, width] -> [time, width]
    pub(super) fn derivative(&self, at: &[f32], v: &[f32]) -> Vec<f32> {
        self.rows_of(at, v, |x, v, w| {
            let projected = projected(x, v, self.eps);
            projected.zip(w).map(|(d, w)| (d * f64::from(*w)) as f32).collect()
        })
    }

    /// The derivative's transpose: `r·w·g − r³·x·(x·(w·g))/width`.
    // at [time, width], g [time, width] -> [time, width]
    pub(super) fn derivative_transposed(&self, at: &[f32], g: &[f32]) -> Vec<f32> {
        self.rows_of(at, g, |x, g, w| {
            let weighted: Vec<f32> = g.iter().zip(w).map(|(g, w)| g * w).collect();
            let projected = projected(x, &weighted, self.eps);
            projected.map(|d| d as f32).collect()
        })
    }

    // at [time, width], v [time, width] -> [time, width], row by row
    fn rows_of(
        &self,
        at: &[f32],
        v: &[f32],
        row: impl Fn(&[f32], &[f32], &[f32]) -> Vec<f32>,
    ) -> Vec<f32> {
        let width = self.host.len();
        let both = at.chunks(width).zip(v.chunks(width));
        both.flat_map(|(x, v)| row(x, v, &self.host)).collect()
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
