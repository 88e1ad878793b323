//! Several prompts in one request.

use super::kit::*;
use crate::settings::Params;
use serde_json::{Value, json};
use trimtab_runtime::engine::EngineOptions;

const TEXT: &str = "/v1/completions";

fn texts(body: &Value) -> Vec<String> {
    let choices = body["choices"].as_array().unwrap().iter();
    choices.map(|choice| choice["text"].as_str().unwrap().to_owned()).collect()
}

/// Prompts of several lengths, more than run together.
fn prompts() -> Vec<String> {
    (1..=11).map(|n| "once upon a time".chars().cycle().take(n * 3).collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_prompt_gets_the_answers_that_it_gets_alone() {
    let options = EngineOptions { parallel: 2, queue: 1, ..EngineOptions::default() };
    let house = House::with(Default::default(), options);
    let more = json!({"n": 2, "temperature": 1, "seed": 7, "max_tokens": 9});
    let mut alone = Vec::new();
    let mut tokens = 0;
    for prompt in prompts() {
        let mut body = completion(more.clone());
        body["prompt"] = json!(prompt);
        let body = house.post(TEXT, body).await.ok();
        tokens += body["usage"]["prompt_tokens"].as_u64().unwrap();
        alone.extend(texts(&body));
    }
    let mut body = completion(more.clone());
    body["prompt"] = json!(prompts());
    let whole = house.post(TEXT, body.clone()).await.ok();
    assert_eq!(texts(&whole), alone);
    let indices: Vec<u64> = (0..22).collect();
    let found = whole["choices"].as_array().unwrap().iter().map(|c| c["index"].as_u64().unwrap());
    assert_eq!(found.collect::<Vec<_>>(), indices);
    assert_eq!(whole["usage"]["prompt_tokens"], tokens);
    body["stream"] = json!(true);
    body["echo"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let events = house.post(TEXT, body).await.events();
    for (index, text) in alone.iter().enumerate() {
        let echoed = format!("{}{text}", prompts()[index / 2]);
        assert_eq!(streamed(&events, index as u64), echoed, "{index}");
    }
    assert_eq!(events[events.len() - 2]["usage"]["prompt_tokens"], tokens);
    house.present(0).await;
}

#[tokio::test]
async fn prompts_come_as_texts_or_tokens_and_one_may_stand_alone() {
    let house = House::new();
    let one = texts(&house.post(TEXT, completion(json!({}))).await.ok());
    let ids = house.post("/tokenize", json!({"content": "once upon"})).await.ok()["tokens"].clone();
    for prompt in [json!(["once upon"]), json!([ids]), ids.clone()] {
        let body = house.post(TEXT, completion(json!({"prompt": prompt}))).await.ok();
        assert_eq!(texts(&body), one);
    }
    let mixed = completion(json!({"prompt": [ids, "once upon"], "echo": true, "logprobs": null}));
    let mixed = house.post(TEXT, mixed).await.ok();
    assert_eq!(texts(&mixed), vec![format!("once upon{}", one[0]); 2]);
    let likely = completion(json!({"prompt": ["a", "bc"], "logprobs": 1}));
    let likely = house.post(TEXT, likely).await.ok();
    for choice in likely["choices"].as_array().unwrap() {
        assert_eq!(choice["logprobs"]["text_offset"], json!([0, 1, 2, 3, 4, 5]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_takes_all_prompts_along() {
    let options = EngineOptions { parallel: 1, ..EngineOptions::default() };
    let house = House::with(Default::default(), options);
    let more = json!({"prompt": vec!["a"; 20], "stream": true, "max_tokens": 900, "logit_bias": {"62": -100}});
    let response = house.send(post(TEXT, completion(more).to_string())).await;
    let mut body = response.into_body().into_data_stream();
    piece(&mut body).await.unwrap();
    drop(body);
    house.present(0).await;
    house.post(TEXT, completion(json!({}))).await.ok();
    assert_eq!(house.app.engine.load().present, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answers_to_several_prompts_are_made_again() {
    let house = House::new();
    let more = json!({
        "prompt": ["once", "upon a"], "n": 2, "temperature": 1, "seed": 3,
        "steering": {"receipt": "full"},
    });
    let body = house.post(TEXT, completion(more)).await.ok();
    assert_eq!(body["steering"]["choices"].as_array().unwrap().len(), 4);
    assert_ne!(body["steering"]["choices"][0]["prompt"], body["steering"]["choices"][2]["prompt"]);
    let (app, document) = (house.app.clone(), body.to_string());
    let replayed = tokio::task::spawn_blocking(move || app.replay(document.as_bytes()));
    let replayed = replayed.await.unwrap().unwrap();
    assert_eq!(replayed.texts, texts(&body));
    assert_eq!(replayed.said, Some(replayed.texts.clone()));
}

#[tokio::test]
async fn long_lists_are_bounded_by_what_each_prompt_has() {
    let house = House::new();
    let watched =
        json!({"monitor": {"watch": [{"kind": "text", "any": ["zzz"], "then": "report"}]}});
    let full = json!({"receipt": "full"});
    for (count, more) in [
        (257, json!({})),
        (129, json!({"n": 2})),
        (9, json!({"steering": watched})),
        (9, json!({"steering": full})),
        (9, json!({"steering": {"vectors": [{"id": "nobody"}]}})),
    ] {
        let mut body = completion(more.clone());
        body["prompt"] = json!(vec!["a"; count]);
        let reply = house.post(TEXT, body).await;
        if more["steering"]["vectors"].is_null() {
            assert_eq!((reply.error().0, reply.error().2.as_str()), (400, "prompt"), "{more}");
        } else {
            assert_eq!(reply.error().0, 404, "{more}");
        }
    }
    for (count, more) in
        [(9, json!({"steering": {"vectors": []}})), (8, json!({"steering": watched}))]
    {
        let mut body = completion(more);
        body["prompt"] = json!(vec!["a"; count]);
        assert_eq!(texts(&house.post(TEXT, body).await.ok()).len(), count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_comes_too_late_is_told_so() {
    let options = EngineOptions { parallel: 2, queue: 1, ..EngineOptions::default() };
    let timeout = std::time::Duration::from_millis(300);
    let house = House::with(Params { timeout, ..Params::default() }, options);
    let brake = house.brake();
    // One place is left: the first prompt has it, and the engine stands still.
    let held = house.app.engine.places(1).unwrap();
    let more = completion(json!({"prompt": ["a", "b", "c"]}));
    let late = house.post(TEXT, more).await;
    assert_eq!(late.error(), (504, "deadline_exceeded".to_owned(), String::new()));
    drop((held, brake));
    house.present(0).await;
}
