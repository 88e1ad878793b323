//! Deleted text is in no file of the folder.

use super::{Scratch, Store, adapter, trace, version};
use crate::store::{Retention, Trace};
use std::time::Duration;

const SECRET: &str = "the lighthouse keeper's confession";

/// A trace whose receipt has the words at its start, and again behind `filler` other bytes.
fn confession(owner: &str, number: u32, filler: usize) -> Trace {
    let receipt = format!(r#"{{"text":"{SECRET} {} {SECRET}"}}"#, "z".repeat(filler));
    Trace { receipt, ..trace(owner, number) }
}

/// The files of the folder that hold the words.
fn holders(scratch: &Scratch) -> Vec<String> {
    let files = std::fs::read_dir(&scratch.0).unwrap().map(|entry| entry.unwrap().path());
    let holds = |path: &std::path::PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
    };
    files.filter(holds).map(|path| path.display().to_string()).collect()
}

/// Small rows, rows over several pages, and others between them that stay.
async fn filled(scratch: &Scratch) -> Store {
    let store = Store::open(&scratch.0).await.unwrap();
    for number in 0..30 {
        let filler = [10, 3000, 40_000][number as usize % 3];
        store.put_trace(&confession("ada", number, filler)).await.unwrap();
        store.put_trace(&trace("bob", number)).await.unwrap();
    }
    assert!(!holders(scratch).is_empty(), "the search finds what is there");
    store
}

#[tokio::test]
async fn deleting_an_owners_traces_leaves_no_text() {
    let scratch = Scratch::new();
    let store = filled(&scratch).await;
    assert_eq!(store.delete_traces("ada").await.unwrap(), 30);
    assert_eq!(holders(&scratch), [""; 0]);
    assert_eq!(store.traces(999).await.unwrap().len(), 30);
    store.close().await;
    assert_eq!(holders(&scratch), [""; 0]);
}

#[tokio::test]
async fn retention_leaves_no_text() {
    let scratch = Scratch::new();
    let store = filled(&scratch).await;
    let newest = Retention {
        traces: 1,
        trace_age: Duration::MAX,
        audit_age: Duration::MAX,
        ..Retention::default()
    };
    assert_eq!(store.retain(&newest, 0).await.unwrap().traces, 59);
    assert_eq!(holders(&scratch), [""; 0]);
    assert_eq!(store.traces(999).await.unwrap(), [trace("bob", 29)]);
}

#[tokio::test]
async fn deleting_an_owner_leaves_no_state() {
    let scratch = Scratch::new();
    let store = filled(&scratch).await;
    store.delete_traces("ada").await.unwrap();
    store.put_adapter(&adapter("ada", "taste")).await.unwrap();
    let mut learnt = version("ada", "taste", 0);
    learnt.state = SECRET.repeat(500).into_bytes();
    store.put_version(&learnt).await.unwrap();
    assert!(!holders(&scratch).is_empty());
    assert_eq!(store.delete_owner("ada").await.unwrap().versions, 1);
    assert_eq!(holders(&scratch), [""; 0]);
}

#[tokio::test]
async fn a_deletion_that_another_program_holds_up_says_so() {
    use sqlx::{Connection, SqliteConnection};
    let scratch = Scratch::new();
    let store = filled(&scratch).await;
    let url = format!("sqlite:{}", scratch.file().display());
    let mut shell = SqliteConnection::connect(&url).await.unwrap();
    let mut reading = shell.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM traces").fetch_one(&mut *reading).await.unwrap();
    let error = store.delete_traces("ada").await.unwrap_err();
    assert_eq!(error.code(), "busy", "{error}");
    assert!(!holders(&scratch).is_empty());
    reading.commit().await.unwrap();
    assert_eq!(store.delete_traces("ada").await.unwrap(), 0);
    assert_eq!(holders(&scratch), [""; 0]);
}
