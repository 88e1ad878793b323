//! Each kind of row: in, out, and what is refused.

use super::{Store, adapter, event, trace, vector, version};
use crate::Error;
use crate::store::{AdapterVersion, Cause, Forgotten, Put, Removed, Retention};
use std::time::Duration;
use trimtab_runtime::Kind;

#[tokio::test]
async fn a_trace_comes_back_whole_and_only_to_its_owner() {
    let store = Store::memory().await.unwrap();
    for number in [4, 5] {
        store.put_trace(&trace("ada", number)).await.unwrap();
    }
    assert_eq!(store.trace("trace-ada-4").await.unwrap(), Some(trace("ada", 4)));
    assert_eq!(store.trace("trace-ada-6").await.unwrap(), None);
    let found = store.trace_of("ada", "chatcmpl-ada-5").await.unwrap();
    assert_eq!(found, Some(trace("ada", 5)));
    assert_eq!(store.trace_of("bob", "chatcmpl-ada-5").await.unwrap(), None);
    assert_eq!(store.traces(1).await.unwrap(), [trace("ada", 5)]);
}

#[tokio::test]
async fn a_trace_is_never_replaced() {
    let store = Store::memory().await.unwrap();
    store.put_trace(&trace("ada", 1)).await.unwrap();
    let mut same_id = trace("bob", 2);
    same_id.id = trace("ada", 1).id;
    let mut same_response = trace("bob", 2);
    same_response.response = trace("ada", 1).response;
    for taken in [same_id, same_response] {
        let error = store.put_trace(&taken).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Refused, "id_in_use"));
    }
    assert_eq!(store.traces(9).await.unwrap(), [trace("ada", 1)]);
}

#[tokio::test]
async fn what_is_no_document_is_refused_by_field() {
    let store = Store::memory().await.unwrap();
    for text in ["", "{", "{} {}", "{'a': 1}", "NaN"] {
        let mut broken = trace("ada", 1);
        broken.receipt = text.to_owned();
        let error = store.put_trace(&broken).await.unwrap_err();
        assert!(error.to_string().starts_with("receipt is not a JSON document"), "{error}");
        assert!(store.put_settings(0, text).await.is_err());
        let mut broken = event(1);
        broken.detail = text.to_owned();
        assert!(store.audit(&broken).await.is_err());
        let mut broken = version("ada", "a", 0);
        broken.detail = text.to_owned();
        assert!(matches!(store.put_version(&broken).await, Err(Error::Document { .. })));
    }
    assert!(store.traces(9).await.unwrap().is_empty());
    assert_eq!(store.settings().await.unwrap(), None);
    assert!(store.audits(0, 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn sql_in_a_name_is_a_name() {
    let store = Store::memory().await.unwrap();
    let name = "x'; DROP TABLE traces; --\u{0}\u{202e}ß";
    let mut odd = trace(name, 1);
    odd.id = name.to_owned();
    store.put_trace(&odd).await.unwrap();
    assert_eq!(store.trace(name).await.unwrap(), Some(odd));
    assert_eq!(store.delete_traces(name).await.unwrap(), 1);
}

#[tokio::test]
async fn retention_keeps_the_newest_and_the_young() {
    let store = Store::memory().await.unwrap();
    let now = trace("ada", 100).created_ms;
    for number in 0..=100 {
        store.put_trace(&trace("ada", number)).await.unwrap();
        store.audit(&event(trace("ada", number).created_ms)).await.unwrap();
    }
    let ms = Duration::from_millis;
    let young =
        Retention { traces: 1000, trace_age: ms(30), audit_age: ms(9), ..Retention::default() };
    assert_eq!(
        store.retain(&young, now).await.unwrap(),
        Removed { traces: 70, audits: 91, ..Removed::default() }
    );
    let few = Retention {
        traces: 10,
        trace_age: Duration::MAX,
        audit_age: Duration::MAX,
        ..Retention::default()
    };
    assert_eq!(
        store.retain(&few, now).await.unwrap(),
        Removed { traces: 21, ..Removed::default() }
    );
    assert_eq!(store.retain(&few, now).await.unwrap(), Removed::default());
    let left: Vec<i64> =
        store.traces(99).await.unwrap().iter().map(|trace| now - trace.created_ms).collect();
    assert_eq!(left, (0..10).collect::<Vec<i64>>());
    assert_eq!(store.audits(0, 99).await.unwrap().len(), 10);
    let none = Retention { traces: 0, ..few };
    assert_eq!(store.retain(&none, now).await.unwrap().traces, 10);
}

#[tokio::test]
async fn a_vector_keeps_its_file() {
    let store = Store::memory().await.unwrap();
    let large: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    assert_eq!(store.put_vector(&vector("calm", &large)).await.unwrap(), Put::New);
    assert_eq!(store.put_vector(&vector("calm", &large)).await.unwrap(), Put::Identical);
    assert_eq!(store.put_vector(&vector("calm", b"other")).await.unwrap(), Put::Differs);
    assert_eq!(store.put_vector(&vector("angry", b"")).await.unwrap(), Put::New);
    assert_eq!(store.vector("calm").await.unwrap(), Some(vector("calm", &large)));
    let listed = store.vectors().await.unwrap();
    let sizes: Vec<(&str, u64)> =
        listed.iter().map(|entry| (entry.id.as_str(), entry.size_bytes)).collect();
    assert_eq!(sizes, [("angry", 0), ("calm", 3_000_000)]);
    assert!(store.delete_vector("calm").await.unwrap());
    assert!(!store.delete_vector("calm").await.unwrap());
    assert_eq!(store.vector("calm").await.unwrap(), None);
    assert_eq!(store.put_vector(&vector("calm", b"other")).await.unwrap(), Put::New);
}

#[tokio::test]
async fn settings_rise_by_one_and_never_from_a_stale_version() {
    let store = Store::memory().await.unwrap();
    assert_eq!(store.settings().await.unwrap(), None);
    assert_eq!(store.put_settings(1, "{}").await.unwrap(), None);
    assert_eq!(store.settings().await.unwrap(), None);
    for expected in 0..5 {
        let document = format!(r#"{{"presets": {{}},  "n": {expected}}}"#);
        let version = store.put_settings(expected, &document).await.unwrap();
        assert_eq!(version, Some(expected + 1));
        for stale in [0, expected, expected + 2] {
            assert_eq!(store.put_settings(stale, "{}").await.unwrap(), None, "{stale}");
        }
        let settings = store.settings().await.unwrap().unwrap();
        assert_eq!((settings.version, settings.document), (expected + 1, document));
    }
}

#[tokio::test]
async fn audits_come_newest_first() {
    let store = Store::memory().await.unwrap();
    for when in [10, 20, 20, 30] {
        store.audit(&event(when)).await.unwrap();
    }
    assert_eq!(store.audits(20, 9).await.unwrap(), [event(30), event(20), event(20)]);
    assert_eq!(store.audits(0, 1).await.unwrap(), [event(30)]);
}

#[tokio::test]
async fn a_version_follows_the_newest_and_is_its_owners() {
    let store = Store::memory().await.unwrap();
    for owner in ["ada", "bob"] {
        assert_eq!(store.put_adapter(&adapter(owner, "taste")).await.unwrap(), Put::New);
    }
    assert_eq!(store.put_adapter(&adapter("ada", "taste")).await.unwrap(), Put::Identical);
    let other = crate::store::Adapter { method: "tpop".to_owned(), ..adapter("ada", "taste") };
    assert_eq!(store.put_adapter(&other).await.unwrap(), Put::Differs);

    assert_eq!(store.put_version(&version("ada", "taste", 0)).await.unwrap(), Some(1));
    assert_eq!(store.put_version(&version("ada", "taste", 0)).await.unwrap(), None);
    assert_eq!(store.put_version(&version("ada", "taste", 2)).await.unwrap(), None);
    let back = AdapterVersion { cause: Cause::Revert, ..version("ada", "taste", 1) };
    assert_eq!(store.put_version(&back).await.unwrap(), Some(2));
    assert_eq!(store.put_version(&version("bob", "taste", 0)).await.unwrap(), Some(1));

    let restored = store.version("ada", "taste", 1).await.unwrap();
    assert_eq!(restored, Some(version("ada", "taste", 0)));
    let bobs = store.version("bob", "taste", 1).await.unwrap().unwrap();
    assert_eq!(bobs.state, b"bob taste 0");
    assert_eq!(store.version("bob", "taste", 2).await.unwrap(), None);
    let listed = store.versions("ada", "taste").await.unwrap();
    let facts: Vec<(u32, u32, Cause, u64)> =
        listed.iter().map(|v| (v.version, v.parent, v.cause, v.size_bytes)).collect();
    assert_eq!(facts, [(1, 0, Cause::Feedback, 11), (2, 1, Cause::Revert, 11)]);

    let error = store.put_version(&version("ada", "tastes", 0)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Input, "adapter_not_found"));
}

#[tokio::test]
async fn the_schema_itself_refuses_to_change_history() {
    let store = Store::memory().await.unwrap();
    store.put_adapter(&adapter("ada", "taste")).await.unwrap();
    store.put_version(&version("ada", "taste", 0)).await.unwrap();
    store.audit(&event(1)).await.unwrap();
    for (sql, said) in [
        ("UPDATE versions SET state = x'00'", "a version never changes"),
        ("DELETE FROM versions", "a version goes only with its adapter"),
        ("UPDATE adapters SET owner = 'bob'", "an adapter never changes"),
        ("UPDATE audit SET who = 'nobody'", "the audit log never changes"),
        (
            "INSERT INTO versions SELECT owner, adapter, 9, 3, cause, 0, detail, state FROM versions",
            "CHECK",
        ),
    ] {
        let error = sqlx::query(sql).execute(&store.pool).await.unwrap_err();
        assert!(error.to_string().contains(said), "{sql}: {error}");
    }
    let kept = store.version("ada", "taste", 1).await.unwrap();
    assert_eq!(kept, Some(version("ada", "taste", 0)));
    assert_eq!(store.audits(0, 9).await.unwrap(), [event(1)]);
}

#[tokio::test]
async fn an_owner_goes_whole_and_alone() {
    let store = Store::memory().await.unwrap();
    for owner in ["ada", "bob"] {
        for id in ["one", "two"] {
            store.put_adapter(&adapter(owner, id)).await.unwrap();
            store.put_version(&version(owner, id, 0)).await.unwrap();
            store.put_version(&version(owner, id, 1)).await.unwrap();
        }
        store.put_trace(&trace(owner, 1)).await.unwrap();
    }
    store.audit(&event(1)).await.unwrap();
    let gone = store.delete_owner("ada").await.unwrap();
    assert_eq!(gone, Forgotten { traces: 1, adapters: 2, versions: 4 });
    assert_eq!(store.delete_owner("ada").await.unwrap(), Forgotten::default());
    assert!(store.versions("ada", "one").await.unwrap().is_empty());
    assert_eq!(store.traces(9).await.unwrap(), [trace("bob", 1)]);
    assert_eq!(store.versions("bob", "two").await.unwrap().len(), 2);
    assert_eq!(store.audits(0, 9).await.unwrap().len(), 1);
}
