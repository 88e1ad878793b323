//! The journal and duels: written once, with the version they led to or not at all, and gone with their adapter.

use super::{Scratch, adapter, trace, version};
use crate::store::{
    AdapterVersion, Cause, Forgotten, LessonRow, Published, Removed, Retention, Store, StoredDuel,
};
use std::time::Duration;

fn lesson(owner: &str, number: u32) -> LessonRow {
    LessonRow {
        owner: owner.to_owned(),
        adapter: "taste".to_owned(),
        id: format!("fb-{owner}-{number}"),
        subject: format!("chatcmpl-{number}#0"),
        said_sha256: format!("{number:064x}"),
        when_ms: i64::from(number),
        // Two spaces: what a parser and writer would not give back.
        report: format!(r#"{{"id":  {number}}}"#),
        entry: r#"{"delta": [0.5]}"#.to_owned(),
        version: None,
    }
}

fn duel(owner: &str, number: u32) -> StoredDuel {
    StoredDuel {
        id: format!("duel-{owner}-{number}"),
        owner: owner.to_owned(),
        adapter: "taste".to_owned(),
        created_ms: 1,
        expires_ms: 100 + i64::from(number),
        document: r#"{"order":  "a"}"#.to_owned(),
        chosen: None,
    }
}

async fn store() -> Store {
    let store = Store::memory().await.unwrap();
    for owner in ["ada", "bob"] {
        store.put_adapter(&adapter(owner, "taste")).await.unwrap();
    }
    store
}

#[tokio::test]
async fn a_version_and_its_lesson_are_published_together() {
    let store = store().await;
    let first = store.publish(&version("ada", "taste", 0), &lesson("ada", 1)).await.unwrap();
    assert_eq!(first, Published::Version(1));
    // A parent that is not the newest any more: neither is there.
    let stale = store.publish(&version("ada", "taste", 0), &lesson("ada", 2)).await.unwrap();
    assert_eq!(stale, Published::Stale);
    assert_eq!(store.lesson("ada", "taste", "chatcmpl-2#0").await.unwrap(), None);
    // A subject that was taught before: the version is not there either.
    let twice = LessonRow { id: "fb-other".to_owned(), ..lesson("ada", 1) };
    let error = store.publish(&version("ada", "taste", 1), &twice).await.unwrap_err();
    assert_eq!(error.code(), "id_in_use");
    assert_eq!(store.versions("ada", "taste").await.unwrap().len(), 1);

    store.put_lesson(&lesson("ada", 3)).await.unwrap();
    let applied = LessonRow { version: Some(1), ..lesson("ada", 1) };
    assert_eq!(store.lessons("ada", "taste").await.unwrap(), [applied.clone(), lesson("ada", 3)]);
    assert_eq!(store.lesson_of("ada", "chatcmpl-1#0").await.unwrap(), Some(applied));
    assert_eq!(store.lesson_of("bob", "chatcmpl-1#0").await.unwrap(), None);
    let nobody = LessonRow { adapter: "none".to_owned(), ..lesson("ada", 4) };
    assert_eq!(store.put_lesson(&nobody).await.unwrap_err().code(), "adapter_not_found");
}

#[tokio::test]
async fn a_duel_is_decided_once() {
    let store = store().await;
    store.put_duel(&duel("ada", 1)).await.unwrap();
    assert_eq!(store.put_duel(&duel("ada", 1)).await.unwrap_err().code(), "id_in_use");
    assert_eq!(store.duel("bob", "duel-ada-1").await.unwrap(), None);
    let decided = StoredDuel { chosen: Some(("1".to_owned(), 50)), ..duel("ada", 1) };
    let learnt = AdapterVersion { cause: Cause::Duel, ..version("ada", "taste", 0) };
    let about = LessonRow { subject: "duel-ada-1".to_owned(), ..lesson("ada", 1) };
    // Another version came first: the duel stays open.
    store.put_version(&version("ada", "taste", 0)).await.unwrap();
    let stale = store.decide_duel(&decided, &about, Some(&learnt)).await.unwrap();
    assert_eq!(stale, Some(Published::Stale));
    assert_eq!(store.duel("ada", "duel-ada-1").await.unwrap(), Some(duel("ada", 1)));

    let learnt = AdapterVersion { parent: 1, ..learnt };
    let done = store.decide_duel(&decided, &about, Some(&learnt)).await.unwrap();
    assert_eq!(done, Some(Published::Version(2)));
    assert_eq!(store.duel("ada", "duel-ada-1").await.unwrap(), Some(decided.clone()));
    assert_eq!(store.decided_duels("ada", "taste").await.unwrap(), 1);
    let again = store.decide_duel(&decided, &about, None).await.unwrap_err();
    assert_eq!(again.code(), "duel_closed");
    let foreign = StoredDuel { owner: "bob".to_owned(), ..decided };
    let error = store.decide_duel(&foreign, &about, None).await.unwrap_err();
    assert_eq!(error.code(), "not_found");
}

#[tokio::test]
async fn the_journal_cannot_be_changed() {
    let store = store().await;
    store.publish(&version("ada", "taste", 0), &lesson("ada", 1)).await.unwrap();
    let decided = StoredDuel { chosen: Some(("tie".to_owned(), 50)), ..duel("ada", 1) };
    store.put_duel(&duel("ada", 1)).await.unwrap();
    store.decide_duel(&decided, &lesson("ada", 2), None).await.unwrap();
    for (sql, said) in [
        ("UPDATE lessons SET report = '{}'", "a lesson never changes"),
        ("DELETE FROM lessons", "a lesson goes only with its adapter"),
        ("UPDATE duels SET chosen = '0'", "a duel is decided once"),
        ("UPDATE duels SET chosen = NULL", "a duel is decided once"),
    ] {
        let error = sqlx::query(sql).execute(&store.pool).await.unwrap_err();
        assert!(error.to_string().contains(said), "{sql}: {error}");
    }
}

#[tokio::test]
async fn an_adapter_goes_whole_and_leaves_the_others() {
    let store = store().await;
    for owner in ["ada", "bob"] {
        store.put_adapter(&adapter(owner, "other")).await.unwrap();
        store.publish(&version(owner, "taste", 0), &lesson(owner, 1)).await.unwrap();
        store.put_duel(&duel(owner, 1)).await.unwrap();
        // Number 3 is of the adapter, number 4 is not.
        store.put_trace(&trace(owner, 3)).await.unwrap();
        store.put_trace(&trace(owner, 4)).await.unwrap();
    }
    assert_eq!(store.adapter_rows("ada", "taste").await.unwrap(), 5);
    let gone = store.delete_adapter("ada", "taste").await.unwrap();
    assert_eq!(store.adapter_rows("ada", "taste").await.unwrap(), 0);
    assert_eq!(gone, Forgotten { traces: 1, adapters: 1, versions: 1 });
    assert_eq!(store.delete_adapter("ada", "taste").await.unwrap_err().code(), "adapter_not_found");
    assert!(store.lessons("ada", "taste").await.unwrap().is_empty());
    assert_eq!(store.duel("ada", "duel-ada-1").await.unwrap(), None);
    assert_eq!(store.adapters("ada").await.unwrap(), [adapter("ada", "other")]);
    assert_eq!(store.lessons("bob", "taste").await.unwrap().len(), 1);
    assert_eq!(store.traces(9).await.unwrap().len(), 3);
    assert_eq!(store.adapter("bob", "taste").await.unwrap(), Some(adapter("bob", "taste")));
    assert_eq!(store.newest_version("ada", "taste").await.unwrap(), None);
    let newest = store.newest_version("bob", "taste").await.unwrap();
    assert_eq!(newest, Some(version("bob", "taste", 0)));
}

#[tokio::test]
async fn retention_keeps_what_led_to_a_version() {
    let store = store().await;
    store.publish(&version("ada", "taste", 0), &lesson("ada", 1)).await.unwrap();
    for number in 2..6 {
        store.put_lesson(&lesson("ada", number)).await.unwrap();
        store.put_duel(&duel("ada", number)).await.unwrap();
    }
    let decided = StoredDuel { chosen: Some(("skip".to_owned(), 50)), ..duel("ada", 2) };
    store.decide_duel(&decided, &lesson("ada", 9), None).await.unwrap();
    let keep = Retention {
        lessons: 2,
        trace_age: Duration::from_millis(10),
        audit_age: Duration::MAX,
        ..Retention::default()
    };
    let removed = store.retain(&keep, 115).await.unwrap();
    assert_eq!(removed, Removed { lessons: 3, duels: 2, ..Removed::default() });
    let left = store.lessons("ada", "taste").await.unwrap();
    let left: Vec<&str> = left.iter().map(|lesson| lesson.id.as_str()).collect();
    assert_eq!(left, ["fb-ada-1", "fb-ada-5", "fb-ada-9"]);
    assert!(store.duel("ada", "duel-ada-2").await.unwrap().is_some());
}

#[tokio::test]
async fn a_file_of_the_third_version_is_brought_forward() {
    use crate::store::schema::MIGRATIONS;
    use sqlx::{Connection, SqliteConnection};
    let scratch = Scratch::new();
    std::fs::create_dir_all(&scratch.0).unwrap();
    let url = format!("sqlite:{}?mode=rwc", scratch.file().display());
    let mut old = SqliteConnection::connect(&url).await.unwrap();
    for step in MIGRATIONS.iter().take(3) {
        sqlx::raw_sql(*step).execute(&mut old).await.unwrap();
    }
    let rows = "INSERT INTO adapters VALUES ('ada', 'taste', 'rosa', '90be', 7);
                INSERT INTO traces VALUES (1, 't', 'r', 'ada', 5, 'w', '{}', '[1]', '[[2]]', 0);";
    sqlx::raw_sql(rows).execute(&mut old).await.unwrap();
    old.close().await.unwrap();
    let store = Store::open(&scratch.0).await.unwrap();
    let kept = store.adapter("ada", "taste").await.unwrap().unwrap();
    assert_eq!((kept.method.as_str(), kept.config.as_str()), ("rosa", "{}"));
    assert_eq!(store.trace("t").await.unwrap().unwrap().adapter, None);
    store.publish(&version("ada", "taste", 0), &lesson("ada", 1)).await.unwrap();
}
