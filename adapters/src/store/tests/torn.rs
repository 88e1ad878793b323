//! A power cut may tear the log anywhere: what is left is a beginning of what was done, and sound.
//!
//! Killing a process (`tests/crash.rs`) does not show this, because the system keeps what the process wrote.

use super::{Scratch, Store, trace};

const TRACES: u32 = 30;

#[tokio::test]
async fn a_torn_log_loses_its_end_and_nothing_else() {
    let scratch = Scratch::new();
    let store = Store::open(&scratch.0).await.unwrap();
    for number in 0..TRACES {
        store.put_trace(&trace("ada", number)).await.unwrap();
    }
    let file = std::fs::read(scratch.file()).unwrap();
    let log = std::fs::read(scratch.0.join("trimtab.sqlite3-wal")).unwrap();
    assert!(log.len() > 100_000, "the log is still there");
    let mut seen = Vec::new();
    for cut in (0..40).map(|part| log.len() * part / 40 + part * 37) {
        let torn = Scratch::with(&file);
        let mut left = log[..cut.min(log.len())].to_vec();
        // The last sector was being written.
        let sector = left.len().saturating_sub(512);
        left[sector..].fill(0xa5);
        std::fs::write(torn.0.join("trimtab.sqlite3-wal"), left).unwrap();
        let store = Store::open(&torn.0).await.unwrap();
        store.check().await.unwrap();
        let mut traces = store.traces(TRACES + 1).await.unwrap();
        traces.reverse();
        let expected: Vec<_> = (0..traces.len() as u32).map(|n| trace("ada", n)).collect();
        assert_eq!(traces, expected, "cut at {cut}");
        seen.push(traces.len());
    }
    assert!(seen.is_sorted() && seen.last() > Some(&20) && seen[0] == 0, "{seen:?}");
}
