//! How many threads to use: one per physical core, because two on one core share its vector unit.

use std::collections::BTreeSet;
use std::path::Path;

/// Physical cores this program may use.
pub fn physical_cores() -> usize {
    let logical = std::thread::available_parallelism().map_or(1, usize::from);
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
