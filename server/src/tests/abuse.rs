//! Feedback that is not meant well: serving goes on, and each has its status and code.

use super::adapters::{adapted, eager, taste};
use super::kit::*;
use crate::settings::{Key, Params};
use serde_json::{Value, json};
use std::time::Duration;
use trimtab_adapters::host::HostLimits;

async fn ask(house: &House, name: &str) -> Value {
    let body = adapted(json!({"adapter": name, "create": eager()}), json!({}));
    house.post("/v1/chat/completions", body).await.ok()
}

async fn say(house: &House, body: Value) -> Reply {
    house.post("/v1/feedback", body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_judged_once() {
    let house = House::new();
    let answer = ask(&house, "a").await;
    let first = json!({"response": answer["id"], "reward": -1.0});
    let report = say(&house, first.clone()).await.ok();
    let other = say(&house, json!({"response": answer["id"], "reward": 1.0})).await;
    assert_eq!((other.error().0, other.error().1.as_str()), (409, "feedback_exists"));
    assert_eq!(other.headers["x-should-retry"], "false");
    // Old feedback that is sent again is answered as it was, however much has been learnt since.
    let newer = ask(&house, "a").await;
    say(&house, json!({"response": newer["id"], "reward": -1.0})).await.ok();
    let replayed = say(&house, first).await.ok();
    assert_eq!((&replayed["id"], &replayed["duplicate"]), (&report["id"], &json!(true)));
    let versions = house.get("/v1/adapters/a").await.ok()["version"].as_u64().unwrap();
    assert!(versions <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn contradictory_users_get_an_answer_and_no_collapse() {
    let house = House::new();
    let mut said = Vec::new();
    for round in 0..12 {
        let answer = ask(&house, "a").await;
        let reward = if round % 2 == 0 { -1.0 } else { 1.0 };
        let report = say(&house, json!({"response": answer["id"], "reward": reward})).await.ok();
        said.push(report["status"].as_str().unwrap().to_owned());
        // What is refused says why.
        assert!(report["status"] == "applied" || report["reason"].is_string(), "{report}");
    }
    assert!(said.contains(&"applied".to_owned()), "{said:?}");
    assert_eq!(house.chat(json!({})).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_and_numbers_that_are_none_are_refused() {
    let house = House::new();
    let answer = ask(&house, "a").await;
    let id = answer["id"].as_str().unwrap();
    for (more, param) in [
        (r#""reward":-1,"span":[0,100000]"#, "span"),
        (r#""reward":-1,"span":[5000,5001]"#, "span"),
        (r#""reward":-1,"span":[9,2]"#, "span"),
        (r#""reward":-1,"span":[0,18446744073709551615]"#, "span"),
        (r#""reward":-1,"span":[0,1e3]"#, "span[1]"),
        (r#""reward":-1.0000001"#, "reward"),
        (r#""reward":"1""#, "reward"),
        (r#""reward":0.5,"confidence":-0.1"#, "confidence"),
    ] {
        let text = format!(r#"{{"response":"{id}",{more}}}"#);
        let reply = house.call(post("/v1/feedback", text)).await;
        let (status, _, told) = reply.error();
        assert_eq!((status, told.as_str()), (400, param), "{more}: {}", reply.text);
    }
    for bad in ["NaN", "Infinity", "-Infinity", "1e999"] {
        let text = format!(r#"{{"response":"{id}","reward":{bad}}}"#);
        assert_eq!(house.call(post("/v1/feedback", text)).await.error().1, "invalid_json");
    }
    for body in [
        json!({"response": "chatcmpl-0", "reward": -1}),
        json!({"response": id, "choice": 1, "reward": -1}),
        json!({"response": id, "choice": 1_000_000, "reward": -1}),
        json!({"response": "'; DROP TABLE adapters; --", "reward": -1}),
        json!({"preferred": {"response": id}, "rejected": {"response": "chatcmpl-0"}}),
    ] {
        let (status, code, _) = say(&house, body.clone()).await.error();
        assert_eq!((status, code.as_str()), (404, "trace_not_found"), "{body}");
    }
    // Nothing of all that has taught anything.
    assert_eq!(house.get("/v1/adapters/a").await.ok()["version"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_told_to_come_again_and_serving_goes_on() {
    let keys = vec![Key::user("ann", "a"), Key::user("bob", "b")];
    let house = House::with(Params { keys, ..Params::default() }, Default::default());
    let (chats, feedback) = (("POST", "/v1/chat/completions"), ("POST", "/v1/feedback"));
    let body = adapted(json!({"adapter": "a", "create": eager()}), json!({}));
    house.keyed(chats, "a", body.clone()).await.ok();
    let mut statuses = [0; 2];
    for number in 0..1000 {
        let said = json!({"prompt": format!("{number}"), "response": "abcdefgh", "thumb": "down",
            "adapter": "a", "wait": false});
        let reply = house.keyed(feedback, "a", said).await;
        match reply.status.as_u16() {
            202 => statuses[0] += 1,
            429 => {
                statuses[1] += 1;
                let after: u64 = reply.headers["retry-after"].to_str().unwrap().parse().unwrap();
                assert!((1..=60).contains(&after));
                assert_eq!(reply.error().1, "busy");
            }
            other => panic!("{other}: {}", reply.text),
        }
        if number % 100 == 99 {
            let served = tokio::time::timeout(LONG, house.keyed(chats, "b", chat(json!({})))).await;
            served.unwrap().ok();
        }
    }
    assert!(statuses[0] > 0 && statuses[1] > 0, "{statuses:?}");
    // Another key's lesson is not kept out by the line of the first.
    let answer = house.keyed(chats, "b", body).await.ok();
    let said = json!({"response": answer["id"], "reward": -1});
    let taught = tokio::time::timeout(LONG, house.keyed(feedback, "b", said)).await.unwrap();
    assert_eq!(taught.ok()["status"], "applied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_says_no_is_in_the_answer_and_in_the_metrics() {
    let house = House::new();
    let strict = json!({"method": "rosa", "params": {"eps_neg": 0.2, "canary_step": 1e-9}});
    let body = adapted(json!({"adapter": "a", "create": strict}), json!({}));
    let answer = house.post("/v1/chat/completions", body).await.ok();
    let report = say(&house, json!({"response": answer["id"], "reward": -1})).await.ok();
    assert_eq!(report["status"], "rejected", "{report}");
    assert_eq!(report["adapter"]["version"], 0);
    let failed: Vec<&str> = report["guards"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|guard| guard["passed"] == false)
        .map(|guard| guard["name"].as_str().unwrap())
        .collect();
    assert_eq!(failed, ["canary_step"], "{report}");
    let text = house.get("/metrics").await.text;
    assert!(
        text.contains(r#"trimtab_adapter_guard_rejections_total{guard="canary_step"} 1"#),
        "{text}"
    );
    assert!(text.contains(r#"trimtab_adapter_updates_total{outcome="rejected"} 1"#), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn duels_are_the_keys_own_and_end() {
    let keys = vec![Key::user("ann", "a"), Key::user("bob", "b")];
    let learning = HostLimits { duel_ms: 1, ..HostLimits::default() };
    let house = House::with(Params { keys, learning, ..Params::default() }, Default::default());
    let more = json!({"temperature": 1.0, "seed": 5});
    let body = adapted(json!({"adapter": "taste", "create": taste()}), more);
    let duel = house.keyed(("POST", "/v1/duels"), "a", body).await.ok();
    let path = format!("/v1/duels/{}", duel["id"].as_str().unwrap());
    let choice = format!("{path}/choice");
    let foreign = house.keyed(("POST", &choice), "b", json!({"choice": 0})).await;
    assert_eq!((foreign.error().0, foreign.error().1.as_str()), (404, "not_found"));
    assert_eq!(house.keyed(("GET", &path), "b", Value::Null).await.error().0, 404);
    let unknown = house.keyed(("POST", "/v1/duels/duel-0/choice"), "a", json!({"choice": 0})).await;
    assert_eq!(unknown.error().1, "not_found");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let late = house.keyed(("POST", &choice), "a", json!({"choice": 0})).await;
    assert_eq!((late.error().0, late.error().1.as_str()), (409, "duel_closed"), "{}", late.text);
    assert_eq!(late.headers["x-should-retry"], "false");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_being_shut_down_learns_nothing_new() {
    let house = House::new();
    let answer = ask(&house, "a").await;
    house.app.engine.drain(Duration::from_secs(1));
    for path in ["/v1/feedback", "/v1/duels/duel-1/choice"] {
        let body = match path {
            "/v1/feedback" => json!({"response": answer["id"], "reward": -1}),
            _ => json!({"choice": 0}),
        };
        let refused = house.post(path, body).await;
        assert_eq!((refused.error().0, refused.error().1.as_str()), (503, "draining"), "{path}");
        assert!(refused.headers.contains_key("retry-after"));
    }
    // What was learnt can still be looked at.
    assert_eq!(house.get("/v1/adapters/a").await.ok()["version"], 0);
}
