//! Super-blocks beside candle, and every kernel beside the dequantised product.

use super::super::{Activations, Fidelity, Kernel, Matrix, Prologue, linear};
use super::WIDTH;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use proptest::prelude::*;

const DTYPES: [GgmlDType; 5] =
    [GgmlDType::Q2K, GgmlDType::Q3K, GgmlDType::Q4K, GgmlDType::Q5K, GgmlDType::Q6K];

// -> [rows, columns], no two super-blocks alike
fn wave(rows: usize, columns: usize, pace: f32, size: f32) -> Tensor {
    let value = |i: usize| {
        let i = i as f32;
        size * ((i * pace).sin() * (1.1 + (i * 0.0173).sin()) + 0.1)
    };
    let values: Vec<f32> = (0..rows * columns).map(value).collect();
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
}

fn quantised(dtype: GgmlDType, out: usize, width: usize, size: f32) -> QTensor {
    QTensor::quantize(&wave(out, width, 0.737, size), dtype).unwrap()
}

/// Super-blocks of arbitrary bytes, which quantisers never write, with finite scales.
fn wild(dtype: GgmlDType, out: usize, width: usize, seed: u64) -> QTensor {
    let size = dtype.type_size();
    let mut state = seed | 1;
    let bytes = (0..out * width / WIDTH * size).map(|_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    let mut bytes: Vec<u8> = bytes.collect();
    let scales: &[usize] = match dtype {
        GgmlDType::Q2K => &[81, 83],
        GgmlDType::Q3K => &[109],
        GgmlDType::Q6K => &[209],
        _ => &[1, 3],
    };
    // The second exponent bit of an f16 cleared: neither infinite nor NaN.
    bytes.chunks_mut(size).for_each(|block| scales.iter().for_each(|at| block[*at] &= !0x40));
    let storage = candle_core::quantized::QStorage::from_data(bytes.into(), &Device::Cpu, dtype);
    QTensor::new(storage.unwrap(), (out, width)).unwrap()
}

fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn relative_gap(a: &[f32], b: &[f32]) -> f32 {
    let most = b.iter().fold(0f32, |m, v| m.max(v.abs()));
    let gap = a.iter().zip(b).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
    if most == 0.0 { gap } else { gap / most }
}

/// The largest gap to the dequantised product of the same rounded activations, and among kernels.
fn gaps(q: &QTensor, x: &Tensor) -> (f32, f32) {
    let (time, width) = x.dims2().unwrap();
    let (tiles, host) = (Matrix::of(q), flat(x));
    let x = Activations::of(&host, width);
    let reference = tiles.with_kernel(&x, Kernel::Portable);
    let rounded = Tensor::from_vec(x.dequantise(), (time, width), &Device::Cpu).unwrap();
    let dense = q.dequantize(&Device::Cpu).unwrap().t().unwrap();
    let exact = flat(&rounded.matmul(&dense).unwrap());
    let others = Kernel::all().into_iter().map(|kernel| tiles.with_kernel(&x, kernel));
    let others = others.fold(0f32, |most, product| most.max(relative_gap(&product, &reference)));
    (relative_gap(&reference, &exact), others)
}

#[test]
fn rows_are_bit_for_bit_what_candle_dequantises() {
    for dtype in DTYPES {
        for q in [quantised(dtype, 21, 512, 1.0), wild(dtype, 21, 512, 7)] {
            let tiles = Matrix::of(&q);
            let expected = q.dequantize(&Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
            for (i, row) in expected.iter().enumerate() {
                let bits = |row: &[f32]| row.iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
                assert_eq!(bits(&tiles.row(i)), bits(row), "{dtype:?} row {i}");
            }
        }
    }
}

#[test]
fn tiles_are_as_small_as_the_file() {
    for dtype in DTYPES {
        let q = quantised(dtype, 32, 512, 1.0);
        let (ours, file) = (Matrix::of(&q).bytes() as f64, q.storage_size_in_bytes() as f64);
        assert!(ours < file * 1.04, "{dtype:?}: {ours} and {file}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_kernel_agrees_with_the_dequantised_product(
        time in 1..15usize, out in 1..70usize, supers in 1..4usize,
        pick in 0..5usize, power in -20..20i32,
    ) {
        let q = quantised(DTYPES[pick], out, supers * WIDTH, 2f32.powi(power / 2));
        let x = wave(time, supers * WIDTH, 1.313, 2f32.powi(power));
        let (exact, others) = gaps(&q, &x);
        prop_assert!(exact < 2e-5, "{:?} {exact}", DTYPES[pick]);
        // Of one row and few tokens, every product may be small beside the terms it is the sum of.
        prop_assert!(others < 1e-5, "{:?} {others}", DTYPES[pick]);
    }

    #[test]
    fn every_kernel_agrees_on_arbitrary_bytes(
        time in 1..8usize, out in 1..40usize, pick in 0..5usize, seed in any::<u64>(),
    ) {
        let q = wild(DTYPES[pick], out, WIDTH, seed);
        let (exact, others) = gaps(&q, &wave(time, WIDTH, 1.313, 1.0));
        prop_assert!(exact < 2e-5, "{:?} {exact}", DTYPES[pick]);
        prop_assert!(others < 1e-5, "{:?} {others}", DTYPES[pick]);
    }
}

#[test]
fn the_largest_sums_fit_every_kernel() {
    for dtype in DTYPES {
        for byte in [0x00, 0x7f, 0x80, 0xff] {
            let size = dtype.type_size();
            let mut bytes = vec![byte; 16 * size];
            // Every scale 1.0.
            let scales: &[usize] = match dtype {
                GgmlDType::Q2K => &[80, 82],
                GgmlDType::Q3K => &[108],
                GgmlDType::Q6K => &[208],
                _ => &[0, 2],
            };
            for block in bytes.chunks_mut(size) {
                scales.iter().for_each(|at| block[*at..*at + 2].copy_from_slice(&[0x00, 0x3c]));
            }
            let data =
                candle_core::quantized::QStorage::from_data(bytes.into(), &Device::Cpu, dtype);
            let q = QTensor::new(data.unwrap(), (16, WIDTH)).unwrap();
            for value in [1f32, -1.0] {
                let x = Tensor::full(value, (2, WIDTH), &Device::Cpu).unwrap();
                let (exact, others) = gaps(&q, &x);
                assert!(exact < 2e-5 && others < 2e-6, "{dtype:?} {byte:x}: {exact} {others}");
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_among_others() {
    for dtype in DTYPES {
        let tiles = Matrix::of(&quantised(dtype, 40, 512, 1.0));
        let x = wave(17, 512, 1.313, 3.0);
        for kernel in Kernel::all() {
            let product = |first: usize, count: usize| {
                let host = flat(&x.narrow(0, first, count).unwrap());
                tiles.with_kernel(&Activations::of(&host, 512), kernel)
            };
            let together = product(0, 17);
            for (t, row) in together.chunks(40).enumerate() {
                assert_eq!(product(t, 1), row, "{dtype:?} {kernel:?} row {t}");
            }
        }
    }
}

#[test]
fn extreme_activations_stay_finite_or_say_so() {
    for dtype in DTYPES {
        let tiles = Matrix::of(&quantised(dtype, 16, WIDTH, 1.0));
        for kernel in Kernel::all() {
            let product =
                |value: f32| tiles.with_kernel(&Activations::of(&[value; WIDTH], WIDTH), kernel);
            assert!(product(0.0).iter().all(|v| *v == 0.0));
            for denormal in [1e-40, -1e-44] {
                assert!(product(denormal).iter().all(|v| v.is_finite() && v.abs() < 1e-36));
            }
            assert!(product(1e30).iter().all(|v| v.is_finite()));
            assert!(product(f32::NAN).iter().all(|v| v.is_nan()), "{dtype:?} {kernel:?}");
            assert!(product(f32::INFINITY).iter().all(|v| !v.is_finite()));
        }
    }
}

#[test]
fn linear_takes_super_blocks() {
    let q = quantised(GgmlDType::Q4K, 40, 512, 1.0);
    let x = wave(3, 512, 1.313, 3.0);
    let ours = flat(&linear(&x, &Matrix::of(&q), Prologue::None, Fidelity::Twice).unwrap());
    let exact = flat(&x.matmul(&q.dequantize(&Device::Cpu).unwrap().t().unwrap()).unwrap());
    assert!(relative_gap(&ours, &exact) < 2e-4);
}
