//! Times without those of other programs, and the middle of a sample of them.

use std::time::{Duration, Instant};
use trimtab_runtime::device;

/// Time that this thread was given, so that other programs' is not in it; with kernels on one thread that is all there
/// is. Where the system does not tell, time itself.
pub fn now(since: Instant) -> Duration {
    // Linux counts it in nanoseconds, up to the last tick of its clock.
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let given = told.and_then(|line| line.split_whitespace().next()?.parse().ok());
    given.filter(|_| device::threads() == 1).map_or_else(|| since.elapsed(), Duration::from_nanos)
}

/// A sample's middle, and its quarters.
#[derive(Debug, Clone, Copy)]
pub struct Middle {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

pub fn middle(mut sample: Vec<f64>) -> Middle {
    sample.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (share * sample.len().saturating_sub(1) as f64).round() as usize;
        sample.get(index).copied().unwrap_or(f64::NAN)
    };
    Middle { low: at(0.25), median: at(0.5), high: at(0.75) }
}
