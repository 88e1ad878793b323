//! Products with rows of the output matrix: f32 rows, sums of vectors in f64 and in one order.

use crate::error::{Error, Result};
use ndarray::ArrayView2;
pub(super) use trimtab_steering::estimate::{dot as dot64, norm};

/// Coordinates that are summed side by side.
const LANES: usize = 8;

/// The inner product: eight sums side by side, then these in order.
// [d], [d] -> []
pub(super) fn dot(row: &[f32], v: &[f64]) -> f64 {
    let mut lanes = [0f64; LANES];
    let (rows, values) = (row.chunks_exact(LANES), v.chunks_exact(LANES));
    let rest = rows.remainder().iter().zip(values.remainder());
    let rest: f64 = rest.map(|(a, b)| f64::from(*a) * b).sum();
    for (row, v) in rows.zip(values) {
        for ((lane, a), b) in lanes.iter_mut().zip(row).zip(v) {
            *lane += f64::from(*a) * b;
        }
    }
    lanes.iter().sum::<f64>() + rest
}

// x [d] -> []
pub(super) fn squared(row: &[f32]) -> f64 {
    row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum()
}

/// `sum += scale · row`, coordinate by coordinate.
// sum [d], row [d] -> sum [d]
pub(super) fn add(sum: &mut [f64], scale: f64, row: &[f32]) {
    sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += scale * f64::from(*x));
}

/// The product of each row with one vector.
// rows [n, d], v [d] -> [n]
pub(super) fn times(rows: &[f32], v: &[f64]) -> Vec<f64> {
    rows.chunks(v.len().max(1)).map(|row| dot(row, v)).collect()
}

/// The sum of the rows, each times its weight; rows of weight 0 are not read.
// rows [n, d], s [n] -> [d]
pub(super) fn transposed(rows: &[f32], s: &[f64], width: usize) -> Vec<f64> {
    let mut sum = vec![0f64; width];
    let weighted = rows.chunks(width.max(1)).zip(s).filter(|(_, s)| **s != 0.0);
    weighted.for_each(|(row, s)| add(&mut sum, *s, row));
    sum
}

/// The products of all rows of two matrices, in f32.
// a [n, d], b [m, d] -> [n, m]
pub(super) fn pairs(a: &[f32], b: &[f32], width: usize) -> Result<Vec<f32>> {
    let (a, b) = (matrix(a, width)?, matrix(b, width)?);
    Ok(a.dot(&b.t()).into_raw_vec_and_offset().0)
}

/// The product of two matrices, in f32.
// a [n, m], b [m, d] -> [n, d]
pub(super) fn matmul(a: &[f32], b: &[f32], (inner, width): (usize, usize)) -> Result<Vec<f32>> {
    let (a, b) = (matrix(a, inner)?, matrix(b, width)?);
    if a.ncols() != b.nrows() {
        let problem = format!("have {} columns and {} rows", a.ncols(), b.nrows());
        return Err(Error::invalid("factors of a product", problem));
    }
    Ok(a.dot(&b).into_raw_vec_and_offset().0)
}

// [n · width] -> [n, width]
fn matrix(values: &[f32], width: usize) -> Result<ArrayView2<'_, f32>> {
    let rows = values.len() / width.max(1);
    let odd = || Error::invalid("matrix", format!("has {} values, its rows {width}", values.len()));
    match ArrayView2::from_shape((rows, width), values) {
        Ok(shaped) if rows * width == values.len() => Ok(shaped),
        Ok(_) | Err(_) => Err(odd()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(n: usize, pace: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * pace).sin()).collect()
    }

    #[test]
    fn all_products_agree() {
        let (n, d) = (5, 19);
        let (rows, v) = (wave(n * d, 0.7), wave(d, 0.3));
        let wide: Vec<f64> = v.iter().map(|v| f64::from(*v)).collect();
        let one = times(&rows, &wide);
        let many = pairs(&rows, &v, d).unwrap();
        let back = transposed(&rows, &one, d);
        let narrow: Vec<f32> = one.iter().map(|x| *x as f32).collect();
        let also = matmul(&narrow, &rows, (n, d)).unwrap();
        assert!(one.iter().zip(&many).all(|(a, b)| (a - f64::from(*b)).abs() < 1e-5));
        assert!(back.iter().zip(&also).all(|(a, b)| (a - f64::from(*b)).abs() < 1e-4));
        // vᵀRᵀRv is the length of Rv, squared.
        assert!((dot(&v, &back) - dot64(&one, &one)).abs() < 1e-9);
        assert!((squared(&v) - dot(&v, &wide)).abs() < 1e-12);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        assert!(pairs(&[0.0; 7], &[0.0; 6], 3).is_err());
        assert!(matmul(&[0.0; 6], &[0.0; 6], (2, 3)).is_ok());
        assert!(matmul(&[0.0; 6], &[0.0; 6], (3, 3)).is_err());
    }
}
