//! How many threads to use: one per physical core, because two on one core share its vector unit.
//!
//! Never more than can run at once: kernels wait for each other, so a thread that has to wait for a core makes all
//! others wait with it.

use crate::console::Console;
use std::collections::BTreeSet;
use std::path::Path;

/// The threads to start: as many as asked for and can run, or one per physical core.
pub fn chosen(asked: Option<usize>, console: &Console) -> usize {
    let Some(asked) = asked else { return physical_cores() };
    let (threads, warning) = limited(asked, processors());
    if let Some(warning) = warning {
        console.warn(warning);
    }
    threads
}

/// No more than can run at once, and what to say about the others.
fn limited(asked: usize, most: usize) -> (usize, Option<String>) {
    let warning = format!("--threads {asked}: {most} can run at once here, so {most} are used");
    (asked.min(most), (asked > most).then_some(warning))
}

/// Logical processors this program may use, by affinity and by the control group's quota.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Physical cores this program may use.
pub fn physical_cores() -> usize {
    let logical = processors();
    match siblings(Path::new("/sys/devices/system/cpu")) {
        0 => logical,
        cores => cores.min(logical),
    }
}

/// Groups of logical processors that share a core; 0 where the system does not say.
fn siblings(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let lists = entries.filter_map(|e| {
        std::fs::read_to_string(e.path().join("topology/thread_siblings_list")).ok()
    });
    lists.collect::<BTreeSet<String>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_threads_than_can_run_are_not_started() {
        assert_eq!((limited(1, 2), limited(2, 2)), ((1, None), (2, None)));
        let (threads, warning) = limited(100_000, 2);
        assert_eq!(threads, 2);
        let expected = "--threads 100000: 2 can run at once here, so 2 are used";
        assert_eq!(warning.as_deref(), Some(expected));
        assert!(physical_cores() >= 1 && physical_cores() <= processors());
    }
}
