//! Monitors through the routes: what is held back, taken back, refused and written down.

use super::kit::*;
use crate::settings::{Key, Params, Switch};
use crate::steer::{Setup, Steering};
use crate::{Persistence, Server};
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use trimtab_adapters::store::{GuardActionRow, Store};
use trimtab_runtime::testing::tiny;
use trimtab_steering::spec::SteeredModel;

/// What the tiny model says to `chat`, so that a test can object to a part of it.
async fn plain(house: &House, more: Value) -> String {
    let answer = house.chat(more).await.ok();
    answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

/// A text watch over these words.
fn watch(words: &[&str]) -> Value {
    json!({"kind": "text", "any": words, "name": "words"})
}

/// An answer of many different tokens, with more fields.
fn long(more: Value) -> Value {
    let mut body = json!({"max_tokens": 24, "temperature": 1.2, "seed": 7,
        "logit_bias": {tiny::END.to_string(): -100}});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

fn monitored(monitor: Value, more: Value) -> Value {
    let mut body = long(more);
    body["steering"] = json!({"monitor": monitor});
    body
}

/// A letter that comes in the middle of what is said plainly, after some others.
fn objectionable(said: &str) -> String {
    let late = said.chars().skip(4).find(|c| !said.chars().take(4).any(|early| early == *c));
    late.expect("the answer has a letter that comes late").to_string()
}

/// What is left after a client has done what the chunks say.
fn applied(events: &[Value], choice: u64) -> String {
    let mut kept: Vec<(u64, String)> = Vec::new();
    let mut sent: Vec<u64> = Vec::new();
    let choices = events.iter().filter_map(|event| event["choices"].as_array()).flatten();
    for entry in choices.filter(|entry| entry["index"] == choice) {
        let place = &entry["steering"];
        if let Some(from) = place["retract"]["from"].as_u64() {
            assert!(sent.contains(&from), "{from} was never sent: {sent:?}");
            assert_eq!(entry["delta"]["content"], "");
            assert_eq!(place["retract"]["watch"], "words");
            assert!(place["retract"]["attempt"] != 0);
            kept.retain(|(index, _)| *index < from);
        } else if let Some(index) = place["token_index"].as_u64() {
            let text = entry["delta"]["content"].as_str().unwrap().to_owned();
            sent.push(index);
            kept.push((index, text));
        }
    }
    kept.into_iter().map(|(_, text)| text).collect()
}

fn has_retracts(events: &[Value]) -> bool {
    let mut choices = events.iter().filter_map(|event| event["choices"].as_array()).flatten();
    choices.any(|entry| entry["steering"]["retract"].is_object())
}

#[tokio::test]
async fn a_watch_that_finds_nothing_changes_nothing_but_the_receipt() {
    let house = House::new();
    for more in [json!({"temperature": 0}), json!({"seed": 3}), json!({"logprobs": true})] {
        let plain = house.chat(long(more.clone())).await.ok();
        let guarded =
            house.chat(monitored(json!({"watch": [watch(&["§"])]}), more.clone())).await.ok();
        assert_eq!(guarded["choices"], plain["choices"], "{more}");
        assert_eq!(guarded["usage"]["total_tokens"], plain["usage"]["total_tokens"]);
        assert!(plain.get("steering").is_none());
        let monitor = &guarded["steering"]["monitor"];
        assert_eq!((&monitor["outcome"], &monitor["hits"]), (&json!("clean"), &json!(0)));
        assert!(monitor["checks"].as_u64().unwrap() >= 24, "{monitor}");
        assert_eq!(guarded["steering"]["attempts"], 1);
    }
}

#[tokio::test]
async fn an_objection_is_answered_differently_and_held_text_is_never_taken_back() {
    let house = House::new();
    let said = plain(&house, long(json!({}))).await;
    let letter = objectionable(&said);
    let monitor = json!({"watch": [watch(&[&letter])], "rewind": {"max": 10}});
    let whole = house.chat(monitored(monitor.clone(), json!({}))).await.ok();
    let text = whole["choices"][0]["message"]["content"].as_str().unwrap();
    let streamed_reply = house.chat(monitored(monitor, json!({"stream": true}))).await;
    let events = streamed_reply.events();
    assert_eq!(streamed(&events, 0), text);
    assert!(!has_retracts(&events));
    let receipt = &whole["steering"];
    assert!(receipt["monitor"]["hits"].as_u64().unwrap() > 0, "{receipt}");
    let rewinds = receipt["monitor"]["rewinds"].as_array().unwrap();
    assert_eq!(receipt["attempts"].as_u64().unwrap(), rewinds.len() as u64 + 1);
    let discarded: u64 = rewinds.iter().map(|r| r["discarded"].as_u64().unwrap()).sum();
    assert_eq!(receipt["cost"]["discarded_tokens"], discarded);
    for rewind in rewinds {
        assert_eq!((&rewind["watch"], &rewind["action"]), (&json!("words"), &json!("retry")));
        assert!(rewind["at"].as_u64() > rewind["from"].as_u64());
    }
    match receipt["monitor"]["outcome"].as_str().unwrap() {
        "recovered" => assert!(!text.contains(&letter), "{text}"),
        "exhausted" => assert_eq!(whole["choices"][0]["finish_reason"], "content_filter"),
        other => panic!("{other}: {receipt}"),
    }
}

#[tokio::test]
async fn retracts_applied_to_the_chunks_give_the_final_text() {
    let house = House::new();
    let mut seen = 0;
    for seed in 0..12 {
        let free = json!({"seed": seed});
        let letter = objectionable(&plain(&house, long(free.clone())).await);
        let monitor = json!({"watch": [watch(&[&letter])], "rewind": {"max": 10, "max_discarded": 4096},
            "stream": "retract"});
        let whole = house.chat(monitored(monitor.clone(), free.clone())).await.ok();
        let text = whole["choices"][0]["message"]["content"].as_str().unwrap();
        let mut asked = monitored(monitor, free);
        asked["stream"] = json!(true);
        let events = house.chat(asked).await.events();
        assert_eq!(applied(&events, 0), text, "seed {seed}");
        seen += usize::from(has_retracts(&events));
    }
    assert!(seen > 6, "only {seen} answers were retracted");
}

#[tokio::test]
async fn an_exhausted_guard_refuses_and_the_refusal_is_the_content() {
    let house = House::new();
    let said = plain(&house, long(json!({}))).await;
    for (on_exhausted, stream) in [("refuse", "hold"), ("refuse", "retract"), ("stop", "hold")] {
        let mut monitor = json!({"watch": [watch(&[&objectionable(&said)])], "rewind": {"max": 0},
            "on_exhausted": on_exhausted, "stream": stream});
        if on_exhausted == "refuse" {
            monitor["refusal"] = json!("Not this.");
        }
        let more = json!({"logprobs": true});
        let whole = house.chat(monitored(monitor.clone(), more.clone())).await.ok();
        let choice = &whole["choices"][0];
        assert_eq!(choice["finish_reason"], "content_filter", "{whole}");
        let text = choice["message"]["content"].as_str().unwrap();
        assert_eq!(text.ends_with("Not this."), on_exhausted == "refuse", "{text}");
        let kept = text.trim_end_matches("Not this.").trim_end();
        assert!(said.starts_with(kept) && kept.len() < said.len(), "{kept} of {said}");
        // Nothing of what was dropped is told in another way.
        let tokens = choice["logprobs"]["content"].as_array().unwrap();
        assert_eq!(whole["usage"]["completion_tokens"], tokens.len());
        let monitor_told = &whole["steering"]["monitor"];
        assert_eq!(monitor_told["outcome"], "exhausted");
        assert_eq!(monitor_told["reason"], "guard_exhausted");
        let mut asked = monitored(monitor, more);
        asked["stream"] = json!(true);
        let events = house.chat(asked).await.events();
        assert_eq!(applied(&events, 0), text, "{on_exhausted} {stream}");
        let last = events.iter().rev().find(|e| e["choices"][0]["finish_reason"].is_string());
        assert_eq!(last.unwrap()["choices"][0]["finish_reason"], "content_filter");
    }
}

#[tokio::test]
async fn what_is_reported_is_given_and_flagged() {
    let house = House::new();
    let said = plain(&house, long(json!({}))).await;
    let mut watch = watch(&[&objectionable(&said)]);
    watch["then"] = json!("report");
    let answer = house.chat(monitored(json!({"watch": [watch]}), json!({}))).await.ok();
    assert_eq!(answer["choices"][0]["message"]["content"], said);
    assert_eq!(answer["steering"]["monitor"]["outcome"], "flagged");
    watch["then"] = json!("stop");
    let answer = house.chat(monitored(json!({"watch": [watch]}), json!({}))).await.ok();
    assert_eq!(answer["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(answer["steering"]["monitor"]["reason"], "stopped: words");
}

#[tokio::test]
async fn each_of_several_answers_has_its_own_guard() {
    let house = House::new();
    let monitor = json!({"watch": [watch(&["a", "e"])], "rewind": {"max": 2}});
    let more = json!({"n": 3, "seed": 5});
    let together = house.chat(monitored(monitor.clone(), more)).await.ok();
    let receipts = together["steering"]["choices"].as_array().unwrap();
    assert_eq!(receipts.len(), 3);
    for (choice, receipt) in receipts.iter().enumerate() {
        let rewinds = receipt["monitor"]["rewinds"].as_array().unwrap().len() as u64;
        assert_eq!(receipt["attempts"].as_u64().unwrap(), rewinds + 1);
        let reason = &together["choices"][choice]["finish_reason"];
        assert_eq!(reason == "content_filter", receipt["monitor"]["outcome"] == "exhausted");
    }
    let solo = json!({"n": 1, "seed": 5});
    let first = house.chat(monitored(monitor, solo)).await.ok();
    assert_eq!(first["choices"][0]["message"], together["choices"][0]["message"]);
}

#[tokio::test]
async fn guarded_and_plain_answers_that_run_together_are_what_they_are_alone() {
    let house = House::new();
    let guarded = |seed: u64| {
        let monitor = json!({"watch": [watch(&["a", "n"])], "rewind": {"max": 3}});
        monitored(monitor, json!({"seed": seed}))
    };
    let free = long(json!({"seed": 9}));
    let content = |reply: Reply| reply.ok()["choices"].clone();
    let alone = [
        content(house.chat(guarded(1)).await),
        content(house.chat(guarded(2)).await),
        content(house.chat(free.clone()).await),
    ];
    let (a, b, c) =
        tokio::join!(house.chat(guarded(1)), house.chat(guarded(2)), house.chat(free.clone()));
    assert_eq!([content(a), content(b), content(c)], alone);
}

#[tokio::test]
async fn a_full_receipt_is_answered_the_same_again() {
    let house = House::new();
    let said = plain(&house, long(json!({}))).await;
    let mut asked = monitored(
        json!({"watch": [watch(&[&objectionable(&said)])], "rewind": {"to": "fixed", "window": 5, "max": 10}}),
        json!({}),
    );
    asked["steering"]["receipt"] = json!("full");
    let answer = house.chat(asked).await.ok();
    let request = answer["steering"]["request"].clone();
    assert_eq!(request["steering"]["monitor"]["rewind"]["window"], 5);
    let again = house.post("/v1/chat/completions", request).await.ok();
    assert_eq!(again["choices"], answer["choices"]);
    assert_eq!(again["steering"]["monitor"], answer["steering"]["monitor"]);
    let (app, document) = (house.app.clone(), answer.to_string());
    let replayed = tokio::task::spawn_blocking(move || app.replay(document.as_bytes()));
    let replayed = replayed.await.unwrap().unwrap();
    assert_eq!(replayed.said.as_ref(), Some(&replayed.texts));
}

#[tokio::test]
async fn metrics_know_kinds_and_no_names() {
    let house = House::new();
    let said = plain(&house, long(json!({}))).await;
    let watch =
        json!({"kind": "text", "any": [objectionable(&said)], "name": "a name of the client's"});
    let monitor = json!({"watch": [watch], "rewind": {"max": 1}});
    house.chat(monitored(monitor, json!({}))).await.ok();
    let metrics = house.get("/metrics").await.text;
    let value = |name: &str| -> f64 {
        let lines = metrics.lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    assert!(value("trimtab_monitor_checks_total{watch=\"text\"}") > 0.0, "{metrics}");
    assert!(value("trimtab_monitor_hits_total{watch=\"text\"}") > 0.0);
    assert!(value("trimtab_rewinds_total{watch=\"text\",") >= 1.0);
    assert!(value("trimtab_discarded_tokens_total") > 0.0);
    assert!(metrics.contains("trimtab_monitor_tokens_total"));
    assert!(!metrics.contains("a name"));
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused_before_a_token() {
    let house = House::new();
    for (monitor, param) in [
        (json!({"watch": [{"kind": "text", "regex": ["("]}]}), "watch[0].regex[0]"),
        (json!({"watch": [{"kind": "text", "regex": ["b", "a*"]}]}), "watch[0].regex[1]"),
        (json!({"watch": [{"kind": "coot", "policy": "none"}]}), "watch[0].policy"),
    ] {
        let reply = house.chat(monitored(monitor, json!({}))).await;
        let param = format!("steering.monitor.{param}");
        assert_eq!(reply.error(), (400, "invalid_value".to_owned(), param), "{}", reply.text);
    }
}

/// A server that keeps state, with an administrator, with words of what was taken back or without.
async fn keeping(store: Store, text: Switch, admin: Switch) -> House {
    let model = tiny_model();
    let keep = Persistence::in_store(store, Switch::On).with_audit_text(text);
    let steering = Steering::new(SteeredModel::of(&model).unwrap(), Setup::default(), keep.clone());
    let keys = vec![Key::user("alice", "a"), Key::admin("root", "r")];
    let settings = Params { keys, admin, ..Params::default() }.check().unwrap();
    let server = Server::builder(model).settings(settings).steering(steering).keep(keep);
    let app = server.build().unwrap();
    House { router: app.router(), app }
}

async fn by(house: &House, key: &str, path: &str, body: Option<Value>) -> Reply {
    let request = if body.is_some() { Request::post(path) } else { Request::get(path) };
    let request = request.header("authorization", format!("Bearer {key}"));
    let request = request.header("content-type", "application/json").header("x-request-id", "mine");
    let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
    house.call(request.body(body).unwrap()).await
}

/// Waits for what was noted about the request.
async fn noted(store: &Store) -> Vec<GuardActionRow> {
    let until = Instant::now() + LONG;
    loop {
        let rows = store.interventions_of("mine").await.unwrap();
        if !rows.is_empty() {
            return rows;
        }
        assert!(Instant::now() < until, "nothing was noted");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_is_noted_and_read_by_administrators_only() {
    for text in [Switch::Off, Switch::On] {
        let store = Store::memory().await.unwrap();
        let house = keeping(store.clone(), text, Switch::On).await;
        let path = "/v1/chat/completions";
        let said = by(&house, "a", path, Some(chat(long(json!({}))))).await.ok();
        let said = said["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
        let monitor = json!({"watch": [watch(&[&objectionable(&said)])], "rewind": {"max": 2}});
        let asked = chat(monitored(monitor, json!({})));
        let answer = by(&house, "a", path, Some(asked)).await.ok();
        let rows = noted(&store).await;
        let end = rows.last().unwrap();
        let told = &answer["steering"]["monitor"];
        assert_eq!(
            (end.action.as_str(), end.outcome.as_str()),
            ("end", told["outcome"].as_str().unwrap())
        );
        let retries: Vec<&GuardActionRow> =
            rows.iter().filter(|row| row.action == "retry").collect();
        assert_eq!(retries.len(), told["rewinds"].as_array().unwrap().len());
        for (row, rewind) in retries.iter().zip(told["rewinds"].as_array().unwrap()) {
            assert_eq!(
                (row.from, row.at),
                (rewind["from"].as_u64().unwrap() as u32, rewind["at"].as_u64().unwrap() as u32)
            );
            assert_eq!((row.owner.as_str(), row.watch.as_str()), ("alice", "words"));
            assert_eq!(row.discarded, row.at - row.from);
            assert_eq!(row.text.is_some(), text.is_on());
            assert!(row.span_sha256.is_some() && row.prompt_sha256.len() == 64);
        }
        assert_eq!(rows[0].response, answer["id"].as_str().unwrap());

        let listed = by(&house, "r", "/v1/steering/audit?limit=50", None).await.ok();
        assert_eq!(listed["data"].as_array().unwrap().len(), rows.len());
        assert_eq!(listed["data"][0]["action"], "end");
        let kept = listed["data"].as_array().unwrap().iter().any(|row| row["text_kept"] == true);
        assert_eq!(kept, text.is_on());
        let late = by(&house, "r", "/v1/steering/audit?since=99999999999999", None).await.ok();
        assert_eq!(late["data"], json!([]));
        assert_eq!(by(&house, "a", "/v1/steering/audit", None).await.status, 403);
        for query in ["limit=0", "limit=1001", "limit=x", "since=x", "until=1"] {
            let reply = by(&house, "r", &format!("/v1/steering/audit?{query}"), None).await;
            assert_eq!(reply.error().0, 400, "{query}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_watch_finds_at_every_token_is_one_row() {
    let store = Store::memory().await.unwrap();
    let house = keeping(store.clone(), Switch::Off, Switch::On).await;
    // Whatever is said has one of these letters.
    let all: Vec<String> =
        ('a'..='z').chain('A'..='Z').chain('0'..='9').map(String::from).collect();
    let watch =
        json!({"kind": "text", "any": all[..30], "every": 1, "then": "report", "name": "letters"});
    let more = json!({"max_tokens": 200, "temperature": 1, "seed": 3, "logit_bias": {"62": -100}});
    let asked = chat(monitored(json!({"watch": [watch]}), more));
    let answer = by(&house, "a", "/v1/chat/completions", Some(asked)).await.ok();
    assert!(answer["steering"]["monitor"]["hits"].as_u64().unwrap() > 20, "{answer}");
    let rows = noted(&store).await;
    assert!(rows.len() <= 4, "{rows:?}");
    let hits: Vec<&GuardActionRow> = rows.iter().filter(|row| row.action == "hit").collect();
    assert!(hits.iter().any(|row| row.count > 10 && row.from < row.at), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_is_closed_without_administration() {
    let house = keeping(Store::memory().await.unwrap(), Switch::On, Switch::Off).await;
    let reply = by(&house, "r", "/v1/steering/audit", None).await;
    assert_eq!(reply.error().1, "admin_disabled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_is_there_from_the_start_or_refused() {
    let house = House::new();
    let coot = json!({"watch": [{"kind": "coot", "guard": "advisory", "min_tokens": 0}]});
    let reply = house.chat(monitored(coot, json!({}))).await;
    let param = "steering.monitor.watch[0].policy".to_owned();
    assert_eq!(reply.error(), (400, "invalid_value".to_owned(), param));
    assert!(reply.text.contains("--policy default"), "{}", reply.text);
}
