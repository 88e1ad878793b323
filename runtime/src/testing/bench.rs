//! Kernels on their own, for `runtime/benches`: a product, attention, and the machine's limits.
//!
//! This file is the only door: what kernels look like inside is nobody's business but theirs.

use crate::error::{Error, Result};
use crate::kernels::arena::Arena;
use crate::kernels::attention::Attention;
use crate::kernels::blocks::{self, Span};
use crate::kernels::heads::HeadShape;
use crate::kernels::prologue::Prologue;
use crate::kernels::quant::{self, Fidelity, Matrix};
use crate::kv::BLOCK_LEN;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};

pub use crate::kernels::limits::{Limits, measure as measure_limits};

/// Block formats as files have them; the kernels serve each.
pub const FORMATS: [(&str, GgmlDType); 10] = [
    ("q4_0", GgmlDType::Q4_0),
    ("q4_1", GgmlDType::Q4_1),
    ("q5_0", GgmlDType::Q5_0),
    ("q5_1", GgmlDType::Q5_1),
    ("q8_0", GgmlDType::Q8_0),
    ("q2_k", GgmlDType::Q2K),
    ("q3_k", GgmlDType::Q3K),
    ("q4_k", GgmlDType::Q4K),
    ("q5_k", GgmlDType::Q5K),
    ("q6_k", GgmlDType::Q6K),
];

// -> [rows, width]
fn wave(rows: usize, width: usize) -> Result<Tensor> {
    let values: Vec<f32> = (0..rows * width).map(|i| (i as f32 * 0.737).sin()).collect();
    Tensor::from_vec(values, (rows, width), &Device::Cpu).map_err(failed)
}

fn failed(e: candle_core::Error) -> Error {
    Error::tensor("bench")(e)
}

/// A product with a quantised matrix.
pub struct Product {
    weight: Matrix,
    input: Tensor,
}

impl Product {
    // input [rows, width] · weight [out, width]
    /// Of `rows` rows with an `[out, width]` matrix.
    pub fn new(dtype: GgmlDType, rows: usize, [out, width]: [usize; 2]) -> Result<Product> {
        let file = QTensor::quantize(&wave(out, width)?, dtype).map_err(failed)?;
        let bytes = file.data().map_err(failed)?;
        let weight =
            Matrix::pack(&mut Arena::default(), dtype, &[&bytes], width).map_err(failed)?;
        Ok(Product { weight, input: wave(rows, width)? })
    }

    /// Quantises the input and multiplies.
    pub fn run(&self) -> Result<Tensor> {
        quant::linear(&self.input, &self.weight, Prologue::None, Fidelity::Once).map_err(failed)
    }
}

/// Attention of one sequence's last rows, with the head shape of the default model.
pub struct Attending {
    rules: Attention,
    qkv: Tensor,
    pool: Tensor,
    spans: [Span; 1],
}

impl Attending {
    // qkv [rows, row], pool [blocks, 2, kv_heads, dim·BLOCK_LEN]
    /// Of the last `rows` positions of `seen`.
    pub fn new(rows: usize, seen: usize) -> Result<Attending> {
        let shape = HeadShape { heads: 9, kv_heads: 3, dim: 64 };
        let count = seen.div_ceil(BLOCK_LEN);
        let dims = (count, 2, shape.kv_heads, shape.dim * BLOCK_LEN);
        let pool = Tensor::zeros(dims, DType::F32, &Device::Cpu).map_err(failed)?;
        let blocks: Vec<u32> = (0..count as u32).collect();
        let all = Span { rows: 0..seen, start: 0, blocks: blocks.into() };
        let everything = wave(seen, shape.row())?;
        blocks::store(&pool, &everything, shape, std::slice::from_ref(&all)).map_err(failed)?;
        let qkv = everything.narrow(0, seen - rows, rows).map_err(failed)?;
        let rules = Attention { shape, scale: 0.125, softcap: None, window: None };
        let spans = [Span { rows: 0..rows, start: seen - rows, ..all }];
        Ok(Attending { rules, qkv, pool, spans })
    }

    /// Attends.
    pub fn run(&self) -> Result<Tensor> {
        self.rules.forward(&self.qkv, &self.pool, &self.spans).map_err(failed)
    }
}
