//! Interventions: kept as they were, in their order, and without their words once those have to go.

use super::{Scratch, Store, intervention, trace};
use crate::store::{GuardActionRow, Removed, Retention};
use std::time::Duration;

async fn texts(store: &Store) -> Vec<Option<String>> {
    store.interventions(0, 99).await.unwrap().into_iter().map(|row| row.text).collect()
}

#[tokio::test]
async fn an_intervention_comes_back_whole_by_either_name_and_in_its_order() {
    let store = Store::memory().await.unwrap();
    let bare = GuardActionRow {
        policy_sha256: None,
        score: None,
        margin: None,
        state: None,
        beta: None,
        ban: Vec::new(),
        span_sha256: None,
        text: None,
        ..intervention("ada", 1)
    };
    let rows = [intervention("ada", 1), bare, intervention("bob", 2)];
    store.put_interventions(&rows).await.unwrap();
    for id in ["req-ada-1", "chatcmpl-ada-1"] {
        assert_eq!(store.interventions_of(id).await.unwrap(), rows[..2], "{id}");
    }
    assert!(store.interventions_of("req-ada").await.unwrap().is_empty());
    let newest = store.interventions(rows[2].when_ms, 9).await.unwrap();
    assert_eq!(newest, rows[2..]);
    assert_eq!(store.interventions(0, 1).await.unwrap(), rows[2..]);
}

#[tokio::test]
async fn a_number_that_is_none_is_left_out() {
    let store = Store::memory().await.unwrap();
    let odd = GuardActionRow {
        score: Some(f64::NAN),
        margin: Some(f64::INFINITY),
        ..intervention("ada", 1)
    };
    store.put_interventions(std::slice::from_ref(&odd)).await.unwrap();
    let found = store.interventions_of("req-ada-1").await.unwrap();
    assert_eq!(found, [GuardActionRow { score: None, margin: None, ..odd }]);
}

#[tokio::test]
async fn an_intervention_never_changes_but_for_words_that_go() {
    let store = Store::memory().await.unwrap();
    store.put_interventions(&[intervention("ada", 1)]).await.unwrap();
    for change in [
        "outcome = 'clean'",
        "score = NULL",
        "text = 'other'",
        "text = NULL, watch = 'none'",
        "seq = 9",
        "\"from\" = 0",
        "count = 1",
    ] {
        let sql = sqlx::AssertSqlSafe(format!("UPDATE interventions SET {change}"));
        let error = sqlx::query(sql).execute(&store.pool).await.unwrap_err().to_string();
        assert!(error.contains("an intervention never changes"), "{change}: {error}");
    }
    assert_eq!(store.interventions(0, 9).await.unwrap(), [intervention("ada", 1)]);
    let gone = "UPDATE interventions SET text = NULL";
    sqlx::query(gone).execute(&store.pool).await.unwrap();
    let without = GuardActionRow { text: None, ..intervention("ada", 1) };
    assert_eq!(store.interventions(0, 9).await.unwrap(), [without]);
}

#[tokio::test]
async fn the_words_go_with_the_trace_of_the_answer() {
    let store = Store::memory().await.unwrap();
    for number in 0..4 {
        store.put_trace(&trace("ada", number)).await.unwrap();
        store.put_interventions(&[intervention("ada", number)]).await.unwrap();
    }
    let newest = Retention {
        traces: 2,
        trace_age: Duration::MAX,
        audit_age: Duration::MAX,
        ..Retention::default()
    };
    assert_eq!(
        store.retain(&newest, 0).await.unwrap(),
        Removed { traces: 2, ..Removed::default() }
    );
    let said = |number: u32| Some(format!("what {number} said"));
    assert_eq!(texts(&store).await, [said(3), said(2), None, None]);
}

#[tokio::test]
async fn the_words_go_with_their_owners_traces_kept_or_not() {
    let store = Store::memory().await.unwrap();
    for owner in ["ada", "bob"] {
        store.put_interventions(&[intervention(owner, 1)]).await.unwrap();
    }
    assert_eq!(store.delete_traces("ada").await.unwrap(), 0);
    assert_eq!(texts(&store).await, [Some("what 1 said".to_owned()), None]);
    store.delete_owner("bob").await.unwrap();
    assert_eq!(texts(&store).await, [None, None]);
    assert_eq!(store.interventions(0, 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_words_grow_as_old_as_traces_and_the_rows_as_old_as_the_audit_log() {
    let store = Store::memory().await.unwrap();
    for number in 0..=100 {
        store.put_interventions(&[intervention("ada", number)]).await.unwrap();
    }
    let now = intervention("ada", 100).when_ms;
    let ms = Duration::from_millis;
    let young =
        Retention { traces: 1000, trace_age: ms(30), audit_age: ms(50), ..Retention::default() };
    assert_eq!(store.retain(&young, now).await.unwrap().interventions, 50);
    let left = texts(&store).await;
    assert_eq!(left.len(), 51);
    let few = Retention { interventions: 40, ..young.clone() };
    assert_eq!(store.retain(&few, now).await.unwrap().interventions, 11);
    assert!(left[..31].iter().all(Option::is_some) && left[31..].iter().all(Option::is_none));
}

#[tokio::test]
async fn nobody_pushes_out_what_was_noted_of_others() {
    let store = Store::memory().await.unwrap();
    for number in 0..10 {
        store.put_interventions(&[intervention("ada", number)]).await.unwrap();
    }
    for number in 10..60 {
        store.put_interventions(&[intervention("bob", number)]).await.unwrap();
    }
    let all = Duration::MAX;
    let few = Retention {
        interventions: 40,
        interventions_of_one: 20,
        trace_age: all,
        audit_age: all,
        ..Retention::default()
    };
    assert_eq!(store.retain(&few, 0).await.unwrap().interventions, 30);
    let left = store.interventions(0, 99).await.unwrap();
    assert_eq!(left.iter().filter(|row| row.owner == "ada").count(), 10);
    assert_eq!(left[0].request, "req-bob-59");
    let fewer = Retention { interventions: 25, ..few };
    assert_eq!(store.retain(&fewer, 0).await.unwrap().interventions, 5);
}

#[tokio::test]
async fn words_that_are_gone_are_in_no_file() {
    const SECRET: &str = "the lighthouse keeper's remorse";
    let scratch = Scratch::new();
    let store = Store::open(&scratch.0).await.unwrap();
    for number in 0..20 {
        let text = Some(format!("{SECRET} {} {SECRET}", "z".repeat(number as usize * 900)));
        let row = GuardActionRow { text, ..intervention("ada", number) };
        store.put_interventions(&[row]).await.unwrap();
    }
    let holders = || {
        let files = std::fs::read_dir(&scratch.0).unwrap().map(|entry| entry.unwrap().path());
        let holds = |path: &std::path::PathBuf| {
            let bytes = std::fs::read(path).unwrap();
            bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
        };
        files.filter(holds).count()
    };
    assert!(holders() > 0);
    store.delete_traces("ada").await.unwrap();
    assert_eq!(holders(), 0);
    assert_eq!(store.interventions(0, 99).await.unwrap().len(), 20);
}
