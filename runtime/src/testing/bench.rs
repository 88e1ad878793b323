//! Kernels on their own, for `runtime/benches`: a product, attention, and the machine's limits.
//!
//! They are called as serving calls them: on host slices, into room that is there already.
//! This file is the only way in: what kernels look like inside stays private.

use crate::decoder::rope::{RopeScaling, RopeSpec, RopeStyle, RopeTable};
use crate::error::{Error, Result};
use crate::kernels::arena::Arena;
use crate::kernels::attention::{Attention, HeadStep};
use crate::kernels::blocks::{self, Span};
use crate::kernels::output_columns::Columns;
use crate::kernels::prologue::Prologue;
use crate::kernels::qk_norm_rope::HeadShape;
use crate::kernels::quant::{Activations, Fidelity, Input, Matrix};
use crate::kv::BLOCK_LEN;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};

pub use crate::kernels::roofline::{Roofline, measure as measure_limits};

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

/// Gate and up of the default model as one matrix, `[out, width]`; wider where a block of the format has 256 weights.
pub fn gate_and_up(dtype: GgmlDType) -> [usize; 2] {
    [3072, if dtype.block_size() == 256 { 768 } else { 576 }]
}

// -> [rows, width]
fn wave(rows: usize, width: usize) -> Vec<f32> {
    (0..rows * width).map(|i| (i as f32 * 0.737).sin()).collect()
}

fn failed(e: candle_core::Error) -> Error {
    Error::tensor("bench")(e)
}

/// A product with a quantised matrix.
pub struct Product {
    weight: Matrix,
    input: Vec<f32>,
    quants: Activations,
    out: Vec<f32>,
}

impl Product {
    // input [rows, width] · weight [out, width]
    /// Of `rows` rows with an `[out, width]` matrix.
    pub fn new(dtype: GgmlDType, rows: usize, [out, width]: [usize; 2]) -> Result<Product> {
        let file = quantised(dtype, [out, width])?;
        let bytes = file.data().map_err(failed)?;
        let weight =
            Matrix::pack(&mut Arena::default(), dtype, &[&bytes], width).map_err(failed)?;
        let (input, quants) = (wave(rows, width), Activations::default());
        Ok(Product { weight, input, quants, out: vec![0.0; rows * out] })
    }

    // -> [rows, out]
    /// Quantises the input and multiplies.
    pub fn run(&mut self) -> Result<&[f32]> {
        let input =
            Input { values: &self.input, prologue: Prologue::None, fidelity: Fidelity::Once };
        self.quants.quantise(input, self.weight.width()).map_err(failed)?;
        let columns = Columns::all(&mut self.out, self.weight.out());
        self.weight.multiply(&self.quants, columns).map_err(failed)?;
        Ok(&self.out)
    }
}

// -> [out, width]
fn quantised(dtype: GgmlDType, [out, width]: [usize; 2]) -> Result<QTensor> {
    let values = Tensor::from_vec(wave(out, width), (out, width), &Device::Cpu);
    values.and_then(|values| QTensor::quantize(&values, dtype)).map_err(failed)
}

/// Attention of one sequence's last rows, with the head shape of the default model.
pub struct Attending {
    rules: Attention,
    table: RopeTable,
    positions: Vec<u32>,
    qkv: Vec<f32>,
    out: Vec<f32>,
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
        let everything = wave(seen, shape.row());
        let qkv = wave(rows, shape.row());
        let everything = Tensor::from_vec(everything, (seen, shape.row()), &Device::Cpu);
        let everything = everything.map_err(failed)?;
        blocks::store(&pool, &everything, shape, std::slice::from_ref(&all)).map_err(failed)?;
        let start = seen - rows;
        Ok(Attending {
            rules: Attention { shape, scale: 0.125, softcap: None, window: None },
            table: table(shape.dim, seen)?,
            positions: (start as u32..seen as u32).collect(),
            qkv,
            out: vec![0.0; rows * shape.q()],
            pool,
            spans: [Span { rows: 0..rows, start, ..all }],
        })
    }

    // -> [rows, heads·dim]
    /// Rotates queries and keys, stores keys and values, attends.
    pub fn run(&mut self) -> Result<&[f32]> {
        let (positions, spans) = (&self.positions, &self.spans);
        let step = HeadStep { norms: None, table: &self.table, positions, spans };
        // Each run rotates the last one's result, which keeps its length: time does not depend on the rest.
        self.rules.on_host(step, &self.pool, &mut self.qkv, &mut self.out).map_err(failed)?;
        Ok(&self.out)
    }
}

fn table(dim: usize, context: usize) -> Result<RopeTable> {
    let spec = RopeSpec {
        base: 100_000.0,
        rotary_dim: dim,
        style: RopeStyle::Halves,
        scaling: RopeScaling::None,
    };
    RopeTable::new(&spec, context, &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_can_be_timed() {
        for (name, dtype) in FORMATS {
            let [_, width] = gate_and_up(dtype);
            let shape = [64, width];
            let mut product = Product::new(dtype, 2, shape).unwrap();
            let weight = quantised(dtype, shape).unwrap().dequantize(&Device::Cpu).unwrap();
            let input = Tensor::from_vec(wave(2, width), (2, width), &Device::Cpu).unwrap();
            let expected = input.matmul(&weight.t().unwrap()).unwrap();
            let expected: Vec<f32> = expected.flatten_all().unwrap().to_vec1().unwrap();
            let length = |v: &mut dyn Iterator<Item = f32>| v.map(|x| x * x).sum::<f32>().sqrt();
            let found = product.run().unwrap();
            let error = length(&mut found.iter().zip(&expected).map(|(a, b)| a - b));
            assert!(error < 0.02 * length(&mut expected.iter().copied()), "{name}: {error}");
        }
    }

    #[test]
    fn attention_that_is_timed_is_the_models() {
        let (shape, mut case) =
            (HeadShape { heads: 9, kv_heads: 3, dim: 64 }, Attending::new(3, 40).unwrap());
        let found = case.run().unwrap().to_vec();
        // `run` left rotated queries and stored their keys; values are not rotated.
        let rows = |v: Vec<f32>| Tensor::from_vec(v, ((), shape.row()), &Device::Cpu).unwrap();
        let weights = case.rules.weights(&rows(case.qkv.clone()), &case.pool, &case.spans[0]);
        let weights = weights.unwrap().reshape((3, 9, 40)).unwrap();
        let seen = [rows(wave(37, shape.row())), rows(wave(3, shape.row()))];
        let values = Tensor::cat(&seen, 0).unwrap();
        let values = values.narrow(1, shape.q() + shape.kv(), shape.kv()).unwrap();
        let values = values.reshape((40, 3, 64)).unwrap().transpose(0, 1).unwrap();
        let mixed = weights.matmul(&values.contiguous().unwrap()).unwrap();
        let mixed = mixed.reshape((9, 3, 64)).unwrap().transpose(0, 1).unwrap();
        let mixed: Vec<f32> = mixed.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(found.len(), mixed.len());
        for (a, b) in found.iter().zip(&mixed) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }
}
