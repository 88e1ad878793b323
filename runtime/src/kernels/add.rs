//! Constant vectors added to ranges of rows, for a whole batch in one operation.

use super::values;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use std::ops::Range;
use std::sync::Arc;

/// One vector and the packed rows it is added to.
#[derive(Debug, Clone)]
pub(crate) struct RowAdd {
    /// Rows of the packed `[Σtime, d_model]`.
    pub rows: Range<usize>,
    /// `[d_model]`
    pub vector: Arc<[f32]>,
}

// x [rows, d] + a vector per range -> [rows, d]; rows outside every range keep their bits
pub(crate) fn add_rows(x: &Tensor, adds: Vec<RowAdd>) -> Result<Tensor> {
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op1_no_bwd(&AddRows { adds });
    }
    let (rows, width) = x.dims2()?;
    // x + (-0.0) has the bits of x for every x, zeros of both signs included.
    let mut table = vec![-0.0f32; width];
    let mut index = vec![0u32; rows];
    for (i, add) in adds.iter().enumerate() {
        table.extend_from_slice(&add.vector);
        index[add.rows.clone()].fill(i as u32 + 1);
    }
    let table = Tensor::from_vec(table, (adds.len() + 1, width), x.device())?;
    x + table.index_select(&Tensor::from_vec(index, rows, x.device())?, 0)?
}

// x and y [rows, d] -> x + y
pub(crate) fn sum(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        // candle's own sum wakes a pool of threads that spin beside ours.
        return x.contiguous()?.apply_op2_no_bwd(&y.contiguous()?, &Sum);
    }
    x + y
}

struct Sum;

impl CustomOp2 for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    // [rows, d], [rows, d] -> [rows, d]
    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        if x_layout.shape() != y_layout.shape() {
            candle_core::bail!("sum of {:?} and {:?}", x_layout.shape(), y_layout.shape());
        }
        let (x, y) = (values(x, x_layout)?, values(y, y_layout)?);
        let sum = x.iter().zip(y).map(|(x, y)| x + y).collect();
        Ok((CpuStorage::F32(sum), x_layout.shape().clone()))
    }
}

struct AddRows {
    adds: Vec<RowAdd>,
}

impl CustomOp1 for AddRows {
    fn name(&self) -> &'static str {
        "add-rows"
    }

    // [rows, d] -> [rows, d]
    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        let mut sum = values(x, layout)?.to_vec();
        for add in &self.adds {
            if add.vector.len() != width || add.rows.end > rows {
                candle_core::bail!("vector of {} at rows {:?}", add.vector.len(), add.rows);
            }
            let chosen = &mut sum[add.rows.start * width..add.rows.end * width];
            for row in chosen.chunks_mut(width) {
                row.iter_mut().zip(add.vector.iter()).for_each(|(x, v)| *x += v);
            }
        }
        Ok((CpuStorage::F32(sum), Shape::from((rows, width))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn only_the_named_rows_change() {
        let x =
            Tensor::from_vec(vec![-0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0], (3, 2), &Device::Cpu).unwrap();
        let add = RowAdd { rows: 1..2, vector: vec![10.0, 20.0].into() };
        let sum = add_rows(&x, vec![add]).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(sum, [[-0.0, 1.0], [12.0, 23.0], [4.0, 5.0]]);
        assert!(sum[0][0].is_sign_negative());
    }
}
