//! Full queues, late answers, clients that leave, and the end.

use super::kit::*;
use crate::settings::Params;
use serde_json::json;
use std::time::Duration;
use trimtab_runtime::engine::EngineOptions;

const CHAT: &str = "/v1/chat/completions";

fn narrow(parallel: usize, queue: usize, params: Params) -> House {
    House::with(params, EngineOptions { parallel, queue, chunk: 64 })
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_row() {
    let house = narrow(4, 4, Params::default());
    let brake = house.brake();
    let more = json!({"stream": true, "max_tokens": 500, "n": 2, "logit_bias": {"62": -100}});
    let response = house.send(post(CHAT, chat(more).to_string()));
    let (response, ()) = tokio::join!(response, async {
        house.present(3).await;
        (0..4).for_each(|_| brake.step());
    });
    let mut body = response.into_body().into_data_stream();
    assert!(piece(&mut body).await.unwrap().starts_with(b"data: "));
    assert_eq!(house.app.engine.load().active, 3);
    drop(body);
    // The engine hears of it between two rounds.
    brake.step();
    brake.step();
    assert_eq!((house.app.engine.load().active, house.app.engine.load().present), (1, 1));
    drop(brake);
    house.present(0).await;
    let usage = house.app.model.pool().usage();
    assert_eq!(usage.available(), usage.blocks);
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_frees_its_place() {
    let house = narrow(1, 4, Params::default());
    let brake = house.brake();
    let waiting = house.send(post(CHAT, chat(json!({})).to_string()));
    let left = tokio::time::timeout(Duration::from_millis(50), waiting).await;
    assert!(left.is_err());
    brake.step();
    brake.step();
    assert_eq!(house.app.engine.load().present, 1);
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_again() {
    let house = narrow(1, 1, Params::default());
    let brake = house.brake();
    let waiting = house.chat(json!({}));
    let (first, second) = tokio::join!(waiting, async {
        house.present(2).await;
        let second = house.chat(json!({})).await;
        drop(brake);
        second
    });
    assert_eq!(second.error(), (429, "queue_full".to_owned(), String::new()));
    assert_eq!(second.headers["retry-after"], "2");
    assert_eq!(second.json()["error"]["type"], "rate_limit_error");
    assert_eq!(first.status, 200);
}

#[tokio::test]
async fn what_comes_too_late_is_told_with_its_status() {
    let params = || Params { timeout: Duration::from_millis(30), ..Params::default() };
    for stream in [false, true] {
        let house = narrow(1, 4, params());
        let brake = house.brake();
        let (late, ()) = tokio::join!(house.chat(json!({"stream": stream})), async {
            house.present(2).await;
            tokio::time::sleep(Duration::from_millis(40)).await;
            brake.step();
        });
        assert_eq!(late.error(), (504, "deadline_exceeded".to_owned(), String::new()));
    }
}

#[tokio::test]
async fn places_that_stay_taken_are_waited_for_until_it_is_too_late() {
    let house = narrow(1, 1, Params::default());
    let taken = house.app.engine.places(2).unwrap();
    let soon = std::time::Instant::now() + Duration::from_millis(30);
    let late = crate::chat::places(&house.app, 1, Some(soon)).await.err().unwrap();
    assert!(matches!(late, trimtab_runtime::Error::Deadline), "{late}");
    drop(taken);
    assert!(crate::chat::places(&house.app, 1, None).await.is_ok());
}

#[tokio::test]
async fn an_answer_that_is_late_in_the_middle_ends_with_an_error() {
    let params = Params { timeout: Duration::from_millis(300), ..Params::default() };
    let house = narrow(4, 4, params);
    let brake = house.brake();
    let more = json!({"stream": true, "max_tokens": 500, "logit_bias": {"62": -100}});
    let response = house.send(post(CHAT, chat(more).to_string()));
    let (response, ()) = tokio::join!(response, async {
        house.present(2).await;
        (0..3).for_each(|_| brake.step());
    });
    let reply = tokio::join!(read(response), async {
        tokio::time::sleep(Duration::from_millis(320)).await;
        brake.step();
        brake.step();
    });
    let events = reply.0.events();
    assert_eq!(events[events.len() - 2]["error"]["code"], "deadline_exceeded");
    assert_eq!(events.last().unwrap(), "[DONE]");
    assert!(events[..events.len() - 2].iter().all(|event| event.get("error").is_none()));
}

#[tokio::test]
async fn a_server_that_drains_takes_nothing_and_cuts_what_is_left() {
    let house = narrow(4, 4, Params::default());
    let brake = house.brake();
    let more = json!({"stream": true, "max_tokens": 500, "logit_bias": {"62": -100}});
    let response = house.send(post(CHAT, chat(more).to_string()));
    let (response, ()) = tokio::join!(response, async {
        house.present(2).await;
        (0..3).for_each(|_| brake.step());
    });
    house.app.engine.drain(Duration::ZERO);
    let health = house.get("/health").await;
    assert_eq!((health.status.as_u16(), health.json()), (503, json!({"status": "draining"})));
    assert_eq!(health.headers["retry-after"], "5");
    let refused = house.chat(json!({})).await;
    assert_eq!(refused.error(), (503, "draining".to_owned(), String::new()));
    let embed = house.post("/v1/embeddings", json!({"model": "tiny", "input": "a"})).await;
    assert_eq!(embed.error().1, "draining");
    drop(brake);
    let events = read(response).await.events();
    assert_eq!(events[events.len() - 2]["error"]["code"], "draining");
    assert_eq!(events.last().unwrap(), "[DONE]");
}

#[tokio::test]
async fn neighbours_do_not_change_an_answer() {
    let house = narrow(3, 64, Params::default());
    let ask = |i: u64| {
        let content = "word ".repeat(1 + i as usize);
        json!({"messages": [{"role": "user", "content": content}], "temperature": 0.8, "seed": i,
               "max_tokens": 20})
    };
    let mut alone = Vec::new();
    for i in 0..6 {
        alone.push(house.chat(ask(i)).await.ok()["choices"].clone());
    }
    let router = house.router.clone();
    let tasks: Vec<_> = (0..6)
        .map(|i| {
            let request = post(CHAT, chat(ask(i)).to_string());
            let call = tower::ServiceExt::oneshot(router.clone(), request);
            tokio::spawn(async move { read(call.await.unwrap()).await.ok()["choices"].clone() })
        })
        .collect();
    for (task, alone) in tasks.into_iter().zip(alone) {
        assert_eq!(task.await.unwrap(), alone);
    }
}

/// A counter's value.
async fn counted(house: &House, name: &str) -> u64 {
    let text = house.get("/metrics").await.text;
    let line =
        text.lines().find(|line| line.strip_prefix(name).is_some_and(|v| v.starts_with(' ')));
    line.unwrap_or_else(|| panic!("{name}: {text}")).rsplit(' ').next().unwrap().parse().unwrap()
}

const GENERATED: &str = "trimtab_generated_tokens_total";
const DISCARDED: &str = "trimtab_discarded_tokens_total";

#[tokio::test]
async fn tokens_are_counted_as_they_are_delivered() {
    let house = narrow(4, 4, Params::default());
    let brake = house.brake();
    let more = json!({"stream": true, "max_tokens": 500, "logit_bias": {"62": -100}});
    let response = house.send(post(CHAT, chat(more).to_string()));
    let (response, ()) = tokio::join!(response, async {
        house.present(2).await;
        (0..9).for_each(|_| brake.step());
    });
    let mut body = response.into_body().into_data_stream();
    while counted(&house, GENERATED).await < 3 {
        piece(&mut body).await.unwrap();
    }
    drop(body);
    (0..2).for_each(|_| brake.step());
    house.present(1).await;
    let (delivered, vain) = (counted(&house, GENERATED).await, counted(&house, DISCARDED).await);
    // Two of the nine rounds were its prompt's, and each of the others made a token, the last perhaps after it had left.
    assert!(delivered >= 3 && (6..=8).contains(&(delivered + vain)), "{delivered} {vain}");
    // A whole answer that nobody gets has cost its tokens as well.
    let more = json!({"max_tokens": 500, "logit_bias": {"62": -100}});
    let whole = house.send(post(CHAT, chat(more).to_string()));
    let cut = tokio::time::timeout(Duration::from_millis(200), async {
        tokio::join!(whole, async {
            house.present(2).await;
            for _ in 0..9 {
                brake.step();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(Duration::from_secs(9)).await;
        })
    });
    assert!(cut.await.is_err());
    assert_eq!(counted(&house, GENERATED).await, delivered);
    assert!(counted(&house, DISCARDED).await >= vain + 5);
    drop(brake);
}

#[tokio::test]
async fn what_is_far_too_long_is_not_even_tokenised() {
    let house = House::new();
    let long = "1".repeat(1_900_000);
    let messages = json!({"messages": [{"role": "user", "content": long}]});
    let began = std::time::Instant::now();
    for (path, body) in [
        (CHAT, chat(messages)),
        ("/v1/completions", completion(json!({"prompt": long}))),
        ("/v1/embeddings", json!({"model": "tiny", "input": ["a", long]})),
    ] {
        let reply = house.post(path, body).await;
        assert_eq!((reply.error().0, reply.error().1.as_str()), (400, "context_length_exceeded"));
        assert!(reply.text.contains("more tokens than that"), "{}", reply.text);
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_short_question_does_not_wait_behind_long_texts() {
    let house = House::new();
    let content = json!({"content": "word ".repeat(60_000)}).to_string();
    let router = house.router.clone();
    let long: Vec<_> = (0..4)
        .map(|_| {
            let call =
                tower::ServiceExt::oneshot(router.clone(), post("/tokenize", content.clone()));
            tokio::spawn(async move { read(call.await.unwrap()).await.status.as_u16() })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(house.chat(json!({})).await.status, 200);
    assert!(long.iter().any(|task| !task.is_finished()));
    for task in long {
        assert_eq!(task.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn tokens_that_spell_too_much_are_refused() {
    let house = House::with(Params { max_body: 100, ..Params::default() }, Default::default());
    let fits = house.post("/detokenize", json!({"tokens": [1, 2, 62]})).await.ok();
    assert_eq!(fits["content"], "bc<|im_end|>");
    let reply = house.post("/detokenize", json!({"tokens": vec![62; 20]})).await;
    assert_eq!(reply.error(), (400, "invalid_value".to_owned(), "tokens".to_owned()));
    let short = json!({"content": "abc", "with_pieces": true});
    assert_eq!(house.post("/tokenize", short).await.status, 200);
    let long = json!({"content": "abcdefg", "with_pieces": true});
    let reply = house.post("/tokenize", long).await;
    assert_eq!(reply.error(), (400, "invalid_value".to_owned(), "content".to_owned()));
    assert_eq!(house.post("/tokenize", json!({"content": "abcdefg"})).await.status, 200);
}
