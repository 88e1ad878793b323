//! Constant vectors added to ranges of rows, for a whole batch in one operation.

use super::simd::{self, Task};
use candle_core::{Result, Tensor};
use std::ops::Range;

/// One vector and the packed rows it is added to.
#[derive(Debug, Clone)]
pub(crate) struct RowAdd<'a> {
    /// Rows of the packed `[Σtime, d_model]`.
    pub rows: Range<usize>,
    /// `[d_model]`
    pub vector: &'a [f32],
}

// x [rows, d] + a vector per range, in place; rows outside every range keep their bits
pub(crate) fn add_in_place(x: &mut [f32], width: usize, adds: &[RowAdd]) -> Result<()> {
    let fits = |add: &&RowAdd| add.vector.len() == width && add.rows.end * width <= x.len();
    if let Some(add) = adds.iter().find(|add| !fits(add)) {
        candle_core::bail!("vector of {} at rows {:?}", add.vector.len(), add.rows);
    }
    simd::on_widest_unit(AddAll { x, width, adds });
    Ok(())
}

struct AddAll<'a> {
    x: &'a mut [f32],
    width: usize,
    adds: &'a [RowAdd<'a>],
}

impl Task for AddAll<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for add in self.adds {
            let chosen = &mut self.x[add.rows.start * self.width..add.rows.end * self.width];
            for row in chosen.chunks_mut(self.width) {
                row.iter_mut().zip(add.vector).for_each(|(x, v)| *x += v);
            }
        }
    }
}

// x [rows, d] + a vector per range -> [rows, d]; rows outside every range keep their bits
pub(crate) fn add_rows(x: &Tensor, adds: &[RowAdd]) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    // x + (-0.0) has the bits of x for every x, zeros of both signs included.
    let mut table = vec![-0.0f32; width];
    let mut index = vec![0u32; rows];
    for (i, add) in adds.iter().enumerate() {
        table.extend_from_slice(add.vector);
        index[add.rows.clone()].fill(i as u32 + 1);
    }
    let table = Tensor::from_vec(table, (adds.len() + 1, width), x.device())?;
    x + table.index_select(&Tensor::from_vec(index, rows, x.device())?, 0)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn only_the_named_rows_change() {
        let x =
            Tensor::from_vec(vec![-0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0], (3, 2), &Device::Cpu).unwrap();
        let adds = [RowAdd { rows: 1..2, vector: &[10.0, 20.0] }];
        let sum = add_rows(&x, &adds).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(sum, [[-0.0, 1.0], [12.0, 23.0], [4.0, 5.0]]);
        assert!(sum[0][0].is_sign_negative());
        let mut in_place = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        add_in_place(&mut in_place, 2, &adds).unwrap();
        assert_eq!(in_place, sum.concat());
        assert!(in_place[0].is_sign_negative());
        let outside = [RowAdd { rows: 2..4, vector: &[1.0, 1.0] }];
        assert!(add_in_place(&mut in_place, 2, &outside).is_err());
    }
}
