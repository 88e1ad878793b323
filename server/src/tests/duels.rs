//! Duels through the routes: two answers, a choice, and what is served afterwards.

use super::adapters::{adapted, taste};
use super::kit::*;
use crate::settings::Params;
use serde_json::{Value, json};
use trimtab_adapters::host::HostLimits;

/// A server on which a program may choose at once.
fn quick() -> House {
    let learning = HostLimits { fastest_choice_ms: 0, ..HostLimits::default() };
    House::with(Params { learning, ..Params::default() }, Default::default())
}

fn drawn(seed: u64) -> Value {
    json!({"temperature": 1.0, "seed": seed, "max_tokens": 12})
}

async fn duel(house: &House, adapt: Value, seed: u64) -> Value {
    house.post("/v1/duels", adapted(adapt, drawn(seed))).await.ok()
}

fn said(choice: &Value) -> &str {
    choice["message"]["content"].as_str().unwrap()
}

fn settings() -> Value {
    json!({"method": "tpop", "arms": [
        {"name": "plain"},
        {"name": "short", "instruction": "Be brief."},
    ]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_duel_has_the_plain_answer_in_it() {
    let house = quick();
    let plain = house.chat(drawn(5)).await.ok();
    let duel = duel(&house, json!({"adapter": "t", "create": taste()}), 5).await;
    assert_eq!((&duel["object"], &duel["status"]), (&json!("duel"), &json!("open")));
    assert_eq!(duel["adapter"], json!({"id": "t", "version": 0}));
    let choices = duel["choices"].as_array().unwrap();
    assert_eq!((choices.len(), duel["order_propensity"].as_f64()), (2, Some(0.5)));
    let best = choices.iter().find(|choice| choice["arm"] == "best").unwrap();
    assert_eq!(said(best), plain["choices"][0]["message"]["content"].as_str().unwrap());
    assert_eq!(best["propensity"], 1.0);
    assert_ne!(choices[0]["response"], choices[1]["response"]);
    assert_eq!(duel["steering"]["choices"].as_array().unwrap().len(), 2);
    assert!(duel["steering"]["choices"][0].get("request").is_none());
    let path = format!("/v1/duels/{}", duel["id"].as_str().unwrap());
    // Traces follow their answers.
    let until = std::time::Instant::now() + LONG;
    let kept = loop {
        let kept = house.get(&path).await.ok();
        if kept["choices"].as_array().unwrap().iter().all(|c| c["message"].is_object()) {
            break kept;
        }
        assert!(std::time::Instant::now() < until, "{kept}");
    };
    for at in 0..2 {
        assert_eq!(said(&kept["choices"][at]), said(&duel["choices"][at]));
    }
    let choice = format!("{path}/choice");
    let report = house.post(&choice, json!({"choice": 1})).await.ok();
    assert_eq!(
        (&report["bandit"]["pairs"], &report["bandit"]["updated"]),
        (&json!(1), &json!(true))
    );
    let again = house.post(&choice, json!({"choice": 1})).await.ok();
    assert_eq!((&again["id"], &again["duplicate"]), (&report["id"], &json!(true)));
    let other = house.post(&choice, json!({"choice": 0})).await;
    assert_eq!((other.error().0, other.error().1.as_str()), (409, "duel_closed"));
    assert_eq!(house.get(&path).await.ok()["status"], "closed");
    let text = house.get("/metrics").await.text;
    assert!(text.contains(r#"trimtab_duels_total{outcome="right"} 1"#), "{text}");
    assert!(text.contains(r#"trimtab_duels_total{outcome="duplicate"} 1"#), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn words_teach_nothing_and_bodies_are_looked_at() {
    let house = quick();
    let adapt = json!({"adapter": "t", "create": taste()});
    for (seed, word) in [(1, "tie"), (2, "skip"), (3, "both_bad")] {
        let open = duel(&house, adapt.clone(), seed).await;
        let path = format!("/v1/duels/{}/choice", open["id"].as_str().unwrap());
        let report = house.post(&path, json!({"choice": word})).await.ok();
        assert_eq!(report["bandit"]["updated"], false, "{word}: {report}");
        assert_eq!(report["adapter"]["version"], 0, "{word}: {report}");
    }
    for (more, param) in [
        (json!({"n": 2}), "n"),
        (json!({"stream": true}), "stream"),
        (json!({"steering": {}}), "steering.adapt"),
        (json!({"steering": {"adapt": {"adapter": "t", "version": 0}}}), "steering.adapt.version"),
        (json!({"steering": {"adapt": {"adapter": "t", "learn": false}}}), "steering.adapt.learn"),
    ] {
        let refused = house.post("/v1/duels", adapted(adapt.clone(), more.clone())).await;
        let (status, _, told) = refused.error();
        assert_eq!((status, told.as_str()), (400, param), "{more}");
    }
    let rosa = adapted(json!({"adapter": "r", "create": "rosa"}), json!({}));
    let refused = house.post("/v1/duels", rosa).await;
    assert!(refused.status.is_client_error(), "{}", refused.text);
    // A greedy answer leaves nothing to choose between.
    let greedy = adapted(adapt, json!({"temperature": 0}));
    let closed = house.post("/v1/duels", greedy).await.ok();
    assert_eq!(
        (&closed["status"], closed["choices"].as_array().unwrap().len()),
        (&json!("closed"), 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_chosen_is_served_and_the_others_are_not_shown() {
    let house = quick();
    let adapt = json!({"adapter": "t", "create": taste()});
    for seed in 0..4 {
        let open = duel(&house, adapt.clone(), seed).await;
        let path = format!("/v1/duels/{}/choice", open["id"].as_str().unwrap());
        house.post(&path, json!({"choice": 0})).await.ok();
    }
    let body = adapted(json!({"adapter": "t"}), drawn(9));
    let answer = house.post("/v1/chat/completions", body.clone()).await.ok();
    let taste = &answer["steering"]["adapter"]["taste"];
    let (candidates, picked) =
        (taste["candidates"].as_u64().unwrap(), taste["picked"].as_u64().unwrap());
    assert!(candidates > 1 && picked < candidates, "{taste}");
    let choices = answer["choices"].as_array().unwrap();
    assert_eq!((choices.len(), &choices[0]["index"]), (1, &json!(0)));
    let tokens = answer["usage"]["completion_tokens"].as_u64().unwrap();
    assert!((1..=12).contains(&tokens), "{answer}");
    let cost = &answer["steering"]["cost"];
    assert!(cost["discarded_tokens"].as_u64().unwrap() >= candidates - 1, "{cost}");
    // It is one of those that would have been sampled anyway, and a stream gives the same.
    let all = house
        .chat(json!({"temperature": 1.0, "seed": 9, "max_tokens": 12, "n": candidates}))
        .await
        .ok();
    assert_eq!(
        choices[0]["message"]["content"],
        all["choices"][picked as usize]["message"]["content"]
    );
    let mut streaming = body.clone();
    streaming["stream"] = json!(true);
    let events = house.post("/v1/chat/completions", streaming).await.events();
    assert_eq!(streamed(&events, 0), choices[0]["message"]["content"].as_str().unwrap());
    let receipts = events.iter().filter(|event| event["steering"].is_object()).count();
    assert_eq!((receipts, events.last().unwrap()), (1, &json!("[DONE]")));
    let mut several = body;
    several["n"] = json!(2);
    let (status, code, param) = house.post("/v1/chat/completions", several).await.error();
    assert_eq!((status, code.as_str(), param.as_str()), (400, "unsupported_field", "n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_chosen_between_and_served() {
    let house = quick();
    let adapt = json!({"adapter": "s", "create": settings()});
    for seed in 0..6 {
        let open = duel(&house, adapt.clone(), seed).await;
        let names: Vec<&str> = open["choices"]
            .as_array()
            .unwrap()
            .iter()
            .map(|choice| choice["setting"].as_str().unwrap())
            .collect();
        let Some(place) = names.iter().position(|name| *name == "short") else { continue };
        let path = format!("/v1/duels/{}/choice", open["id"].as_str().unwrap());
        house.post(&path, json!({"choice": place})).await.ok();
    }
    let full = json!({"adapt": {"adapter": "s"}, "receipt": "full"});
    let mut body = adapted(json!({"adapter": "s"}), drawn(3));
    body["steering"] = full;
    let answer = house.post("/v1/chat/completions", body).await.ok();
    assert_eq!(
        answer["steering"]["adapter"]["taste"]["setting"], "short",
        "{}",
        answer["steering"]
    );
    let told = &answer["steering"]["request"];
    assert_eq!(told["messages"][0], json!({"role": "system", "content": "Be brief."}));
    // The setting stands in the request as what it does, and nothing else is asked of the adapter.
    assert!(told["steering"].get("adapt").is_none(), "{told}");
    let replayed = house.post("/v1/chat/completions", told.clone()).await.ok();
    assert_eq!(replayed["choices"][0]["message"], answer["choices"][0]["message"]);
    let text = completion(json!({"steering": {"adapt": {"adapter": "s"}}}));
    assert_eq!(house.post("/v1/completions", text).await.error().1, "unsupported_field");
    let ranked = house.get("/v1/adapters/s").await.ok();
    assert_eq!(ranked["arms"][0]["name"], "short", "{ranked}");
    let wrong = json!({"method": "tpop", "arms": [
        {"name": "x"}, {"name": "y", "steering": {"vectors": [{"id": "none"}]}}]});
    let refused =
        house.post("/v1/duels", adapted(json!({"adapter": "w", "create": wrong}), json!({}))).await;
    let (status, code, param) = refused.error();
    assert_eq!((status, code.as_str()), (404, "vector_not_found"));
    assert_eq!(param, "steering.adapt.create.arms[1].steering.vectors[0].id");
}
