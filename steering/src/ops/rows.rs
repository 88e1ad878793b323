//! Rows of activations as slices, and sums over them.

use candle_core::{DType, Result, Storage, Tensor};

/// Partial sums of [`dot`]: enough that the CPU need not wait for one addition before the next.
const LANES: usize = 8;

/// Product of two rows. Summed in f64 and always in the same order, so that equal rows give equal bits.
// [d_model], [d_model] -> []
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0f64; LANES];
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_lanes.remainder().iter().zip(b_lanes.remainder());
    let rest: f64 = rest.map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
    for (x, y) in a_lanes.zip(b_lanes) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += f64::from(*x) * f64::from(*y);
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// Length of a row.
// [d_model] -> []
pub(crate) fn norm(row: &[f32]) -> f64 {
    dot(row, row).sqrt()
}

/// Lets `read` see a tensor's values in memory. They are copied only where they lie elsewhere or otherwise.
// [time, d_model] -> [time · d_model]
pub(crate) fn with_values<T>(stream: &Tensor, read: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let (storage, layout) = stream.storage_and_layout();
    if let (Storage::Cpu(cpu), Some((from, to)), DType::F32) =
        (&*storage, layout.contiguous_offsets(), stream.dtype())
        && let Some(values) = cpu.as_slice::<f32>()?.get(from..to)
    {
        return Ok(read(values));
    }
    drop(storage);
    let values: Vec<f32> = stream.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    Ok(read(&values))
}

/// Values as a tensor like another one: its shape, type and device.
// [time · d_model] -> [time, d_model]
pub(crate) fn like(values: Vec<f32>, stream: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, stream.shape(), stream.device())?.to_dtype(stream.dtype())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_product_takes_every_value() {
        for len in [1, 7, 8, 9, 24, 31] {
            let a: Vec<f32> = (0..len).map(|i| (i as f32 * 0.7).sin()).collect();
            let b: Vec<f32> = (0..len).map(|i| (i as f32 * 0.3).cos()).collect();
            let plain: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            assert!((dot(&a, &b) - plain).abs() < 1e-12, "{len}");
        }
    }

    #[test]
    fn values_are_seen_whatever_the_layout() {
        let x =
            Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], (3, 2), &Device::Cpu).unwrap();
        let seen = |t: &Tensor| with_values(t, <[f32]>::to_vec).unwrap();
        assert_eq!(seen(&x), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(seen(&x.narrow(0, 1, 2).unwrap()), [3.0, 4.0, 5.0, 6.0]);
        assert_eq!(seen(&x.t().unwrap()), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
        let half = x.to_dtype(DType::F16).unwrap();
        assert_eq!(seen(&half), seen(&x));
        assert_eq!(like(seen(&x), &half).unwrap().dtype(), DType::F16);
    }
}
