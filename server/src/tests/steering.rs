//! Steering through the routes: vectors come and go, presets combine, and all of it is there after a restart.

use super::kit::{House, Reply};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use trimtab_adapters::store::Store;
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::tiny;
use trimtab_steering::file::card::{Card, Method, MethodName, Operation, SiteCard};
use trimtab_steering::{Direction, VectorFile};

/// A file that adds along one coordinate, and belongs to no model in particular.
fn vector(coordinate: usize) -> Vec<u8> {
    let mut row = vec![0.0; tiny::WIDTH];
    row[coordinate] = 0.2;
    let (direction, gap) = Direction::normalised(Site::ResidPost(1), &row).unwrap();
    let method = Method::named(MethodName::MeanDifference);
    let mut card = Card::unmeasured("calm", "less urgent", Operation::Add, method);
    card.sites.insert(direction.site(), SiteCard::of(direction.site(), Some(gap)));
    VectorFile::new(card, vec![direction]).unwrap().to_bytes().unwrap()
}

async fn call(
    house: &House,
    (method, path): (&str, &str),
    key: &str,
    body: impl Into<Body>,
) -> Reply {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("authorization", format!("Bearer {key}"));
    house.call(request.header("content-type", "application/json").body(body.into()).unwrap()).await
}

async fn put(house: &House, id: &str, bytes: Vec<u8>) -> Reply {
    let path = format!("/v1/steering/vectors/{id}?accept_model=unpinned");
    call(house, ("PUT", &path), "r", bytes).await
}

async fn chat(house: &House, steering: Value) -> Value {
    let body = json!({
        "model": "tiny", "temperature": 0, "max_tokens": 12, "steering": steering,
        "messages": [{"role": "user", "content": "ab"}],
    });
    let reply = call(house, ("POST", "/v1/chat/completions"), "a", body.to_string()).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    serde_json::from_str(&reply.text).unwrap()
}

fn json(reply: &Reply) -> Value {
    serde_json::from_str(&reply.text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_come_and_go_and_only_administrators_move_them() {
    let house = House::keeping(Store::memory().await.unwrap()).await;
    assert_eq!(put(&house, "calm", vector(3)).await.status, StatusCode::CREATED);
    assert_eq!(put(&house, "calm", vector(3)).await.status, StatusCode::OK);
    let taken = put(&house, "calm", vector(4)).await;
    assert_eq!(
        (taken.status, &json(&taken)["error"]["code"]),
        (StatusCode::CONFLICT, &json!("id_in_use"))
    );
    for (bytes, status) in [(vec![0; 64], 400), (b"a header of two gigabytes".to_vec(), 413)] {
        assert_eq!(put(&house, "other", bytes).await.status, status);
    }
    let by_user = call(&house, ("DELETE", "/v1/steering/vectors/calm"), "a", "").await;
    assert_eq!(by_user.status, StatusCode::FORBIDDEN);
    let one = call(&house, ("GET", "/v1/steering/vectors/calm"), "a", "").await;
    assert_eq!(json(&one)["header"]["name"], "calm");
    let checked = r#"{"steering":{"vectors":[{"id":"calm","scale":0.5}]}}"#;
    let checked = call(&house, ("POST", "/v1/steering/check"), "a", checked).await;
    assert_eq!(json(&checked)["ok"], true, "{}", checked.text);
    let gone = call(&house, ("DELETE", "/v1/steering/vectors/calm"), "r", "").await;
    assert_eq!(json(&gone), json!({"id": "calm", "object": "steering.vector", "deleted": true}));
    let again = call(&house, ("DELETE", "/v1/steering/vectors/calm"), "r", "").await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn default_preset_and_request_combine_and_survive_a_restart() {
    let store = Store::memory().await.unwrap();
    let house = House::keeping(store.clone()).await;
    for (id, coordinate) in [("one", 1), ("two", 2), ("six", 6)] {
        assert_eq!(put(&house, id, vector(coordinate)).await.status, StatusCode::CREATED);
    }
    let before = chat(&house, json!({"receipt": "full"})).await;
    let change = json!({
        "expected_version": 0, "locked": false,
        "default": {"vectors": [{"id": "one", "scale": 1}]},
        "presets": {"house": {"vectors": [{"id": "two", "scale": 1}]}},
    });
    let changed = call(&house, ("PUT", "/v1/steering"), "r", change.to_string()).await;
    assert_eq!(json(&changed)["version"], 1, "{}", changed.text);
    let stale = call(&house, ("PUT", "/v1/steering"), "r", change.to_string()).await;
    assert_eq!(json(&stale)["error"]["code"], "version_conflict");

    let asked =
        json!({"preset": "house", "vectors": [{"id": "six", "scale": 1}], "receipt": "full"});
    let answer = chat(&house, asked.clone()).await;
    let ids = |answer: &Value| -> Vec<String> {
        let vectors = answer["steering"]["vectors"].as_array().unwrap().iter();
        vectors.map(|vector| vector["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&answer), ["one", "two", "six"]);
    assert_eq!(ids(&chat(&house, json!({"use_default": false, "receipt": "full"})).await), [""; 0]);

    drop(house);
    let house = House::keeping(store).await;
    let again = chat(&house, asked).await;
    assert_eq!(again["choices"], answer["choices"]);
    assert_eq!(again["steering"]["plan"], answer["steering"]["plan"]);
    // What was answered before there was a default is had again, whatever the default is now.
    let replay = before["steering"]["request"].to_string();
    let replayed = call(&house, ("POST", "/v1/chat/completions"), "a", replay).await;
    assert_eq!(json(&replayed)["choices"], before["choices"], "{}", replayed.text);
    let document = answer.to_string();
    let app = house.app.clone();
    let replayed = tokio::task::spawn_blocking(move || app.replay(document.as_bytes()));
    let replayed = replayed.await.unwrap().unwrap();
    assert_eq!(replayed.said.as_ref(), Some(&replayed.texts));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_and_changes_leave_their_traces() {
    let store = Store::memory().await.unwrap();
    let house = House::keeping(store.clone()).await;
    put(&house, "calm", vector(3)).await;
    let answer = chat(&house, json!({"vectors": [{"id": "calm"}]})).await;
    let id = answer["id"].as_str().unwrap().to_owned();
    let until = std::time::Instant::now() + super::kit::LONG;
    let trace = loop {
        match store.trace_of("alice", &id).await.unwrap() {
            Some(trace) => break trace,
            None => assert!(std::time::Instant::now() < until, "no trace came"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    };
    assert_eq!(store.trace_of("root", &id).await.unwrap(), None);
    let receipt: Value = serde_json::from_str(&trace.receipt).unwrap();
    assert_eq!(receipt["request"]["messages"][0]["content"], "ab");
    assert_eq!(trace.answers.len(), 1);
    let audit = store.audits(0, 10).await.unwrap();
    let acts: Vec<(&str, &str)> = audit.iter().map(|e| (e.who.as_str(), e.what.as_str())).collect();
    assert_eq!(acts, [("root", "vector.put")]);
}
