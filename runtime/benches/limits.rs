//! Prints what this machine can do at most, one JSON object per number of threads.
//!
//! `cargo bench -p trimtab-runtime --features testing --bench limits`; `scripts/bench_peers.py --limits` reads it.

use trimtab_runtime::testing::bench::measure_limits;

fn main() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut counts = vec![1, 2, cores];
    counts.retain(|count| *count <= cores);
    counts.dedup();
    for threads in counts {
        let Some(limits) = measure_limits(threads) else {
            eprintln!("this CPU's limits are not measured: no AVX2");
            return;
        };
        let line = serde_json::json!({
            "threads": limits.threads,
            "read_bytes_per_s": limits.read_bytes,
            "int8_madds_per_s": limits.int8_madds,
            "f32_madds_per_s": limits.f32_madds,
        });
        println!("{line}");
    }
}
