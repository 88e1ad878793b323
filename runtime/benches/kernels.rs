//! Kernels on their own, on one thread: products by format and rows, and attention by context. About a minute.
//!
//! `cargo bench -p trimtab-runtime --features testing --bench kernels`. Shapes are the default model's.

#![allow(clippy::expect_used)] // a benchmark that cannot run has no caller to tell

use candle_core::quantized::GgmlDType;
use criterion::{BenchmarkId, Criterion, Throughput};
use std::time::Duration;
use trimtab_runtime::testing::bench::{Attending, FORMATS, Product, gate_and_up};

fn products(criterion: &mut Criterion) {
    for rows in [1, 4, 16, 256] {
        let mut group = criterion.benchmark_group(format!("product of {rows}"));
        for (format, dtype) in FORMATS {
            let shape = gate_and_up(dtype);
            group.throughput(Throughput::Elements((rows * shape[0] * shape[1]) as u64));
            let mut product = Product::new(dtype, rows, shape).expect("the formats have kernels");
            group.bench_function(BenchmarkId::from_parameter(format), |bencher| {
                bencher.iter(|| product.run().expect("the shapes fit").first().copied());
            });
        }
        group.finish();
    }
}

fn output_head(criterion: &mut Criterion) {
    let shape = [49_152, 576];
    let mut group = criterion.benchmark_group("output head");
    group.throughput(Throughput::Bytes((shape[0] * shape[1] * 34 / 32) as u64));
    let mut product = Product::new(GgmlDType::Q8_0, 1, shape).expect("the format has a kernel");
    group.bench_function("q8_0", |bencher| {
        bencher.iter(|| product.run().expect("the shapes fit").first().copied());
    });
    group.finish();
}

fn attention(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("attention");
    for (rows, seen) in [(1, 256), (1, 4096), (256, 256), (256, 4096)] {
        // Keys seen by all rows together.
        group.throughput(Throughput::Elements((rows * (2 * seen - rows + 1) / 2) as u64));
        let mut case = Attending::new(rows, seen).expect("the shapes fit");
        let id = BenchmarkId::from_parameter(format!("last {rows} of {seen}"));
        group.bench_function(id, |bencher| {
            bencher.iter(|| case.run().expect("the shapes fit").first().copied());
        });
    }
    group.finish();
}

fn quick() -> Criterion {
    trimtab_runtime::device::set_threads(1).expect("no kernel has run before");
    Criterion::default()
        .sample_size(20)
        .nresamples(2_000)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(700))
        .configure_from_args()
}

fn main() {
    let mut criterion = quick();
    products(&mut criterion);
    output_head(&mut criterion);
    attention(&mut criterion);
    criterion.final_summary();
}
