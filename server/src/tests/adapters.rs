//! Adapters through the routes: asked, judged, asked again, undone.

use super::kit::*;
use crate::settings::{Key, Params};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use trimtab_adapters::store::Store;

/// An adapter that learns from both signs, in large steps.
pub fn eager() -> Value {
    json!({"method": "rosa", "params": {"signs": "both", "eps_neg": 0.2, "eps_pos": 0.2,
        "canary_step": 10.0, "canary_mean": 10.0, "canary_max": 10.0}})
}

/// A taste of as many features as a tiny model has room for.
pub fn taste() -> Value {
    json!({"method": "tpop", "params": {"features": 8}})
}

/// A chat with an adapter.
pub fn adapted(adapt: Value, more: Value) -> Value {
    let mut body = chat(json!({"max_tokens": 24, "steering": {"adapt": adapt}}));
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

async fn ask(house: &House, adapt: Value, more: Value) -> Value {
    house.post("/v1/chat/completions", adapted(adapt, more)).await.ok()
}

fn content(body: &Value) -> &str {
    body["choices"][0]["message"]["content"].as_str().unwrap()
}

fn version(body: &Value) -> u64 {
    body["steering"]["adapter"]["version"].as_u64().unwrap()
}

/// Asks and says that it was wrong, until the answer is another one.
async fn taught(house: &House, name: &str) -> (Value, Value) {
    let adapt = json!({"adapter": name, "create": eager()});
    let first = ask(house, adapt.clone(), json!({})).await;
    for _ in 0..8 {
        let answer = ask(house, adapt.clone(), json!({})).await;
        if content(&answer) != content(&first) {
            return (first, answer);
        }
        let said = json!({"response": answer["id"], "reward": -1.0});
        let report = house.post("/v1/feedback", said).await.ok();
        assert_eq!(report["status"], "applied", "{report}");
    }
    panic!("eight lessons changed nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judged_answer_is_another_one_and_undoing_gives_the_first_back() {
    let house = House::new();
    let plain = house.chat(json!({"max_tokens": 24})).await.ok();
    let (first, second) = taught(&house, "alice").await;
    assert_eq!(content(&first), content(&plain));
    let told = &first["steering"]["adapter"];
    assert_eq!(told, &json!({"id": "alice", "version": 0, "learn": true, "behind": false}));
    assert_eq!(first["steering"]["warnings"], json!(["adapter_in_memory"]));
    assert!(version(&second) > 0);
    assert_ne!(second["steering"]["plan"], first["steering"]["plan"]);
    assert_eq!(second["steering"]["kv"], first["steering"]["kv"]);
    let listed = house.get("/v1/adapters").await.ok();
    assert_eq!(listed["data"][0]["id"], "alice");
    assert_eq!(listed["data"][0]["version"].as_u64(), Some(version(&second)));
    let versions = house.get("/v1/adapters/alice/versions").await.ok();
    let newest = versions["data"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (newest["cause"].as_str(), newest["parent"].as_u64()),
        (Some("feedback"), Some(version(&second) - 1))
    );
    assert!(
        newest["kl"].as_f64().unwrap() > 0.0
            && newest["lesson"].as_str().unwrap().starts_with("fb-")
    );
    let reverted = house.post("/v1/adapters/alice/revert", json!({"to": 0})).await.ok();
    let next = version(&second) + 1;
    assert_eq!(
        reverted,
        json!({"adapter": "alice", "from": version(&second), "version": next, "restores": 0})
    );
    let third = ask(&house, json!({"adapter": "alice"}), json!({})).await;
    assert_eq!((content(&third), version(&third)), (content(&first), next));
    let gone = house.post("/v1/adapters/alice/revert", json!({"to": 99})).await;
    assert!(gone.status.is_client_error(), "{}", gone.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_receipt_tells_the_tokens_and_asks_for_the_same_version_again() {
    let house = House::new();
    let (_, second) = taught(&house, "a").await;
    let full = json!({"adapt": {"adapter": "a"}, "receipt": "full"});
    let answer = house.chat(json!({"max_tokens": 24, "steering": full})).await.ok();
    assert_eq!(content(&answer), content(&second));
    let told = answer["steering"]["adapter"]["tokens"].as_array().unwrap();
    assert!(!told.is_empty() && told.len() <= 8);
    let shifts: Vec<f64> = told.iter().map(|t| t["shift"].as_f64().unwrap().abs()).collect();
    assert!(shifts[0] > 1e-3 && shifts.is_sorted_by(|a, b| a >= b), "{shifts:?}");
    let again = answer["steering"]["request"].clone();
    assert_eq!(again["steering"]["adapt"]["version"], answer["steering"]["adapter"]["version"]);
    let said = json!({"response": answer["id"], "thumb": "down"});
    assert_eq!(house.post("/v1/feedback", said).await.ok()["status"], "applied");
    let replayed = house.post("/v1/chat/completions", again).await.ok();
    assert_eq!(content(&replayed), content(&answer));
    assert_eq!(replayed["steering"]["adapter"]["learn"], false);
    // Nothing is learnt from an answer of a version that was named.
    let said = json!({"response": replayed["id"], "thumb": "down"});
    let refused = house.post("/v1/feedback", said).await;
    assert_eq!(refused.error().0, 404, "{}", refused.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_holds_its_version_and_ends_with_the_receipt() {
    let house = House::new();
    let adapt = json!({"adapter": "a", "create": "rosa"});
    let events = house.post("/v1/chat/completions", adapted(adapt, json!({"stream": true}))).await;
    let events = events.events();
    let receipts: Vec<&Value> =
        events.iter().filter(|event| event["steering"].is_object()).collect();
    assert_eq!(receipts.len(), 1);
    assert_eq!(receipts[0]["steering"]["adapter"]["id"], "a");
    let said = json!({"response": receipts[0]["id"], "reward": -1});
    assert!(house.post("/v1/feedback", said).await.ok()["id"].as_str().unwrap().starts_with("fb-"));
    let several = adapted(json!({"adapter": "a"}), json!({"n": 2, "temperature": 1, "seed": 3}));
    let several = house.post("/v1/chat/completions", several).await.ok();
    assert_eq!(several["steering"]["choices"][1]["adapter"]["id"], "a");
    for choice in 0..2 {
        let said = json!({"response": several["id"], "choice": choice, "reward": -0.5});
        house.post("/v1/feedback", said).await.ok();
    }
    let text = completion(json!({"steering": {"adapt": {"adapter": "a"}}}));
    let text = house.post("/v1/completions", text).await.ok();
    assert_eq!(text["steering"]["adapter"]["id"], "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_and_nothing_is_made() {
    let house = House::new();
    let asked = |adapt: Value| house.post("/v1/chat/completions", adapted(adapt, json!({})));
    let missing = asked(json!({"adapter": "nobody"})).await;
    let at = |code: &str, field: &str| (code.to_owned(), format!("steering.adapt{field}"));
    let (status, code, param) = missing.error();
    assert_eq!((status, (code, param)), (404, at("adapter_not_found", ".adapter")));
    // A request that is refused makes no adapter.
    let wrong = json!({"adapt": {"adapter": "new", "create": "rosa"}, "vectors": [{"id": "none"}]});
    assert_eq!(house.chat(json!({"steering": wrong})).await.error().0, 404);
    assert_eq!(house.get("/v1/adapters").await.ok()["data"], json!([]));
    asked(json!({"adapter": "new", "create": "rosa"})).await.ok();
    let other = asked(json!({"adapter": "new", "create": "tpop"})).await;
    let (status, code, param) = other.error();
    assert_eq!((status, (code, param)), (409, at("id_in_use", ".create")));
    assert_eq!(other.headers["x-should-retry"], "false");
    let later = asked(json!({"adapter": "new", "version": 9})).await;
    assert!(later.status.is_client_error(), "{}", later.text);
    for path in
        ["/v1/adapters/x", "/v1/adapters/x/versions", "/v1/adapters/x/export", "/v1/adapters/X"]
    {
        assert_eq!(house.get(path).await.error().1, "adapter_not_found", "{path}");
    }
}

fn two_keys() -> House {
    let keys = vec![Key::user("ann", "a"), Key::user("bob", "b"), Key::admin("root", "r")];
    House::with(Params { keys, ..Params::default() }, Default::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_belongs_to_its_key() {
    let house = two_keys();
    let post = ("POST", "/v1/chat/completions");
    let body = adapted(json!({"adapter": "mine", "create": "rosa"}), json!({}));
    let answer = house.keyed(post, "a", body.clone()).await.ok();
    let said = json!({"response": answer["id"], "reward": -1.0});
    let foreign = house.keyed(("POST", "/v1/feedback"), "b", said.clone()).await;
    assert_eq!(foreign.error(), (404, "trace_not_found".to_owned(), String::new()));
    let named = adapted(json!({"adapter": "mine"}), json!({}));
    assert_eq!(house.keyed(post, "b", named).await.error().1, "adapter_not_found");
    house.keyed(("POST", "/v1/feedback"), "a", said).await.ok();
    house.keyed(post, "b", body).await.ok();
    let get = |path: &'static str, key: &'static str| house.keyed(("GET", path), key, Value::Null);
    let anns = get("/v1/adapters/mine?owner=ann", "r").await.ok();
    assert_eq!(anns["version"], 1);
    assert_eq!(get("/v1/adapters/mine", "b").await.ok()["version"], 0);
    assert_eq!(get("/v1/adapters?owner=bob", "b").await.ok()["data"][0]["id"], "mine");
    let (status, code, param) = get("/v1/adapters/mine?owner=ann", "b").await.error();
    assert_eq!((status, code.as_str(), param.as_str()), (403, "admin_required", "owner"));
    assert_eq!(get("/v1/adapters", "r").await.ok()["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_leave_as_files_come_back_and_go() {
    let store = Store::memory().await.unwrap();
    let house = House::keeping(store.clone()).await;
    let post = ("POST", "/v1/chat/completions");
    let create = adapted(json!({"adapter": "mine", "create": eager()}), json!({}));
    let answer = house.keyed(post, "a", create).await.ok();
    assert_eq!(answer["steering"]["warnings"], json!([]));
    let said = json!({"response": answer["id"], "reward": -1.0});
    let report = house.keyed(("POST", "/v1/feedback"), "a", said).await.ok();
    assert_eq!(report["adapter"], json!({"id": "mine", "from": 0, "version": 1}));
    let request = Request::get("/v1/adapters/mine/export").header("authorization", "Bearer a");
    let response = house.send(request.body(Body::empty()).unwrap()).await;
    let digest = response.headers()["x-trimtab-sha256"].to_str().unwrap().to_owned();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert_eq!(digest, trimtab_steering::file::sha256(&bytes));
    let import = |name: &str, bytes: Vec<u8>| {
        let request = Request::post(format!("/v1/adapters/{name}/import"));
        let request = request.header("authorization", "Bearer a");
        house.call(request.body(Body::from(bytes)).unwrap())
    };
    let imported = import("copy", bytes.to_vec()).await;
    assert_eq!(imported.status, StatusCode::CREATED, "{}", imported.text);
    let ask = |adapt: Value| house.keyed(post, "a", adapted(adapt, json!({})));
    let (one, other) =
        (ask(json!({"adapter": "mine"})).await.ok(), ask(json!({"adapter": "copy"})).await.ok());
    assert_eq!(content(&one), content(&other));
    let mut damaged = bytes.to_vec();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    for bad in [damaged, Vec::new(), b"a file of another kind".to_vec()] {
        let refused = import("bad", bad).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
    }
    assert!(store.trace_of("alice", one["id"].as_str().unwrap()).await.is_ok());
    let gone = house.keyed(("DELETE", "/v1/adapters/mine"), "a", Value::Null).await.ok();
    assert_eq!(gone, json!({"id": "mine", "object": "adapter", "deleted": true}));
    let again = house.keyed(("DELETE", "/v1/adapters/mine"), "a", Value::Null).await;
    assert_eq!(again.error().1, "adapter_not_found");
    assert_eq!(store.trace_of("alice", one["id"].as_str().unwrap()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_may_come_in_many_forms() {
    let house = House::new();
    let adapt = json!({"adapter": "a", "create": eager()});
    for said in [
        json!({"reward": -0.8, "confidence": 0.9, "span": [0, 3]}),
        json!({"thumb": "up"}),
        json!({"text": "that is wrong"}),
        json!({"edited": "abc"}),
    ] {
        let answer = ask(&house, adapt.clone(), json!({})).await;
        let mut body = said;
        body["response"] = answer["id"].clone();
        let report = house.post("/v1/feedback", body.clone()).await.ok();
        assert_eq!(report["object"], "feedback", "{report}");
        assert!(["applied", "rejected"].contains(&report["status"].as_str().unwrap()));
        let again = house.post("/v1/feedback", body.clone()).await.ok();
        assert_eq!((&again["id"], &again["duplicate"]), (&report["id"], &json!(true)), "{body}");
    }
    let answer = ask(&house, adapt.clone(), json!({})).await;
    let idle = json!({"response": answer["id"], "text": "what is the capital of France?"});
    let idle = house.post("/v1/feedback", idle).await.ok();
    assert_eq!(
        (&idle["status"], &idle["adapter"]["from"]),
        (&json!("rejected"), &idle["adapter"]["version"])
    );
    for foreign in [
        json!({"prompt": "ab", "response": "cdef", "critique": "that is wrong", "adapter": "a"}),
        json!({"messages": [{"role": "user", "content": "ab"}], "completion": "ghij", "thumb": "down", "adapter": "a"}),
    ] {
        let report = house.post("/v1/feedback", foreign).await.ok();
        assert_eq!(report["adapter"]["id"], "a", "{report}");
    }
    let nobody = json!({"prompt": "ab", "response": "cd", "thumb": "up", "adapter": "nobody"});
    assert_eq!(house.post("/v1/feedback", nobody).await.error().1, "adapter_not_found");
    let answer = ask(&house, adapt, json!({})).await;
    let later = json!({"response": answer["id"], "reward": -1, "wait": false});
    let queued = house.post("/v1/feedback", later).await;
    assert_eq!(queued.status, StatusCode::ACCEPTED, "{}", queued.text);
    assert_eq!(queued.json()["status"], "queued");
}

#[tokio::test(flavor = "multi_thread")]
async fn lessons_are_counted() {
    let house = House::new();
    taught(&house, "a").await;
    let text = house.get("/metrics").await.text;
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(-1.0)
    };
    let applied = value(r#"trimtab_adapter_updates_total{outcome="applied"}"#);
    assert!(applied >= 1.0, "{text}");
    assert_eq!(value("trimtab_adapter_update_seconds_count"), applied);
    assert_eq!(value("trimtab_adapter_lessons_waiting"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_may_be_judged_lists_as_many_likely_tokens_as_were_asked_for() {
    let house = House::new();
    let adapt = json!({"adapter": "alice", "create": "rosa"});
    for most in [0, 2] {
        let more = json!({"logprobs": true, "top_logprobs": most});
        let body = ask(&house, adapt.clone(), more).await;
        let entries = body["choices"][0]["logprobs"]["content"].as_array().unwrap();
        assert!(!entries.is_empty());
        for entry in entries {
            assert_eq!(entry["top_logprobs"].as_array().unwrap().len(), most, "{entry}");
        }
    }
}
