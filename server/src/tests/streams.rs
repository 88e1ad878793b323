//! Event streams, frame by frame.

use super::kit::*;
use crate::settings::Params;
use serde_json::json;
use std::time::Duration;
use trimtab_runtime::engine::EngineOptions;

/// The frames, without what differs from run to run.
fn frames(reply: &Reply) -> String {
    let events = events(&reply.text);
    let (id, created) = (events[0]["id"].as_str().unwrap(), events[0]["created"].to_string());
    reply.text.replace(id, "ID").replace(&created, "0")
}

#[tokio::test]
async fn frames_of_a_chat() {
    let house = House::new();
    let options = json!({"include_usage": true});
    let reply =
        house.chat(json!({"stream": true, "stream_options": options, "max_tokens": 3})).await;
    insta::assert_snapshot!("chat", frames(&reply));
    assert_eq!(reply.headers["cache-control"], "no-cache");
    assert!(reply.headers.contains_key("x-trimtab-seed"));
}

#[tokio::test]
async fn frames_of_two_texts_with_their_places() {
    let house = House::new();
    let more = json!({"stream": true, "steering": {}, "max_tokens": 2, "echo": true});
    let reply = house.post("/v1/completions", completion(more)).await;
    insta::assert_snapshot!("completion", frames(&reply));
}

#[tokio::test]
async fn places_count_delivered_tokens() {
    let house = House::new();
    let more = json!({"stream": true, "steering": {}, "max_tokens": 9, "stop": ["aaaa"]});
    let events = house.chat(more).await.events();
    let places = events.iter().filter_map(|event| event["choices"][0].get("steering"));
    let mut next = 0;
    for place in places {
        assert_eq!(place["token_index"], next);
        next += place["tokens"].as_u64().unwrap();
    }
    assert_eq!(next, 9);
}

#[tokio::test]
async fn only_data_and_comments_are_sent_and_the_last_says_so() {
    let house = House::new();
    let reply = house.chat(json!({"stream": true, "n": 2, "temperature": 1})).await;
    assert!(reply.text.lines().all(|line| line.is_empty() || line.starts_with("data: ")));
    let events = reply.events();
    assert_eq!(events.last().unwrap(), "[DONE]");
    for choice in 0..2 {
        let own: Vec<_> = events.iter().filter(|e| e["choices"][0]["index"] == choice).collect();
        assert_eq!(own[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
        let end = &own.last().unwrap()["choices"][0];
        assert!(end["finish_reason"].is_string() && end["delta"] == json!({}));
        assert!(own.iter().rev().skip(1).all(|e| e["choices"][0]["finish_reason"].is_null()));
    }
    assert!(events.iter().all(|event| event.get("usage").is_none()));
}

#[tokio::test]
async fn silence_is_broken_by_comments() {
    let params = Params { keep_alive: Duration::from_millis(5), ..Params::default() };
    let house = House::with(params, EngineOptions::default());
    let brake = house.brake();
    let body = chat(json!({"stream": true})).to_string();
    let response = house.send(post("/v1/chat/completions", body));
    let (response, ()) = tokio::join!(response, async {
        house.present(2).await;
        brake.step();
        brake.step();
    });
    let mut stream = response.into_body().into_data_stream();
    let first = piece(&mut stream).await.unwrap();
    assert!(first.starts_with(b"data: "));
    let mut text = String::new();
    while !text.contains(": keep-alive\n: keep-alive\n") {
        text += std::str::from_utf8(&piece(&mut stream).await.unwrap()).unwrap();
    }
    drop(brake);
    while let Some(more) = piece(&mut stream).await {
        text += std::str::from_utf8(&more).unwrap();
    }
    assert_eq!(events(&text).last().unwrap(), "[DONE]");
}

#[tokio::test]
async fn a_stream_that_waits_for_its_place_has_its_headers_and_comments() {
    let params = Params {
        first_word: Duration::from_millis(5),
        keep_alive: Duration::from_millis(5),
        ..Params::default()
    };
    let options = EngineOptions { parallel: 1, queue: 4, chunk: 64 };
    let house = House::with(params, options);
    let brake = house.brake();
    let response =
        house.send(post("/v1/chat/completions", chat(json!({"stream": true})).to_string())).await;
    assert_eq!((response.status().as_u16(), house.app.engine.load().waiting()), (200, 1));
    let mut stream = response.into_body().into_data_stream();
    let mut text = String::new();
    while !text.contains(": keep-alive\n: keep-alive\n: keep-alive\n") {
        text += std::str::from_utf8(&piece(&mut stream).await.unwrap()).unwrap();
    }
    assert!(!text.contains("data:"), "{text}");
    drop(brake);
    while let Some(more) = piece(&mut stream).await {
        text += std::str::from_utf8(&more).unwrap();
    }
    let events = events(&text);
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(events.last().unwrap(), "[DONE]");
}

#[tokio::test]
async fn what_fails_after_the_headers_is_an_error_in_the_stream() {
    let params = Params {
        first_word: Duration::from_millis(5),
        timeout: Duration::from_millis(60),
        ..Params::default()
    };
    let house = House::with(params, EngineOptions { parallel: 1, queue: 4, chunk: 64 });
    let brake = house.brake();
    let response =
        house.send(post("/v1/chat/completions", chat(json!({"stream": true})).to_string())).await;
    let reply = tokio::join!(read(response), async {
        tokio::time::sleep(Duration::from_millis(80)).await;
        brake.step();
    });
    let events = reply.0.events();
    assert_eq!((events.len(), &events[0]["error"]["code"]), (2, &json!("deadline_exceeded")));
}
