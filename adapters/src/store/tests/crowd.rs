//! Many tasks at once: none fails, none reads half a row, no change is lost.

use super::{Scratch, Store, adapter, trace, version};
use crate::store::Retention;
use std::time::Duration;

const TASKS: u32 = 8;
const ROUNDS: u32 = 12;
const KEPT: u32 = 20;

fn newest() -> Retention {
    Retention {
        traces: KEPT,
        trace_age: Duration::MAX,
        audit_age: Duration::MAX,
        ..Retention::default()
    }
}

/// Writes and reads as one client would. Returns how often another client was quicker.
async fn work(store: Store, task: u32) -> u32 {
    let owner = format!("owner-{task}");
    let mut lost = 0;
    for round in 0..ROUNDS {
        let mine = trace(&owner, round);
        store.put_trace(&mine).await.unwrap();
        // Retention may have taken it meanwhile; what is there is whole.
        if let Some(found) = store.trace_of(&owner, &mine.response).await.unwrap() {
            assert_eq!(found, mine);
        }
        for found in store.traces(5).await.unwrap() {
            let number = (found.created_ms - trace("", 0).created_ms) as u32;
            assert_eq!(found, trace(&found.owner, number));
        }
        loop {
            let seen = store.settings().await.unwrap().map_or(0, |settings| settings.version);
            let document = format!("[{seen}]");
            if store.put_settings(seen, &document).await.unwrap().is_some() {
                break;
            }
            lost += 1;
        }
        loop {
            let seen = store.versions("all", "taste").await.unwrap().len() as u32;
            if store.put_version(&version("all", "taste", seen)).await.unwrap().is_some() {
                break;
            }
            lost += 1;
        }
    }
    lost
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_tasks_write_and_read_while_retention_runs() {
    let scratch = Scratch::new();
    let store = Store::open(&scratch.0).await.unwrap();
    store.put_adapter(&adapter("all", "taste")).await.unwrap();
    let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(work(store.clone(), task))).collect();
    let mut removed = 0;
    while !tasks.iter().all(|task| task.is_finished()) {
        removed += store.retain(&newest(), 0).await.unwrap().traces;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut lost = 0;
    for task in tasks {
        lost += task.await.unwrap();
    }
    removed += store.retain(&newest(), 0).await.unwrap().traces;

    let changes = TASKS * ROUNDS;
    assert!(lost > 0, "no two tasks ever met, so nothing was tested");
    assert_eq!(removed, u64::from(changes - KEPT));
    assert_eq!(store.traces(999).await.unwrap().len(), KEPT as usize);
    let settings = store.settings().await.unwrap().unwrap();
    assert_eq!((settings.version, settings.document), (changes, format!("[{}]", changes - 1)));
    let versions = store.versions("all", "taste").await.unwrap();
    let numbers: Vec<u32> = versions.iter().map(|entry| entry.version).collect();
    assert_eq!(numbers, (1..=changes).collect::<Vec<u32>>());
    store.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_leaves_nothing_half_done() {
    let scratch = Scratch::new();
    let store = Store::open(&scratch.0).await.unwrap();
    for number in 0..50_u32 {
        store.put_adapter(&adapter("ada", "taste")).await.unwrap();
        store.put_version(&version("ada", "taste", 0)).await.unwrap();
        store.put_trace(&trace("ada", number)).await.unwrap();
        let patience = Duration::from_micros(u64::from(number) * 20);
        // Whether it was in time is what differs between the rounds.
        tokio::time::timeout(patience, store.delete_owner("ada")).await.ok();
        let traces = store.traces(9).await.unwrap().len();
        let versions = store.versions("ada", "taste").await.unwrap().len();
        assert_eq!(traces, versions, "round {number}");
        store.delete_owner("ada").await.unwrap();
    }
}
