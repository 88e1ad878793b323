//! What other programs say, and mean nothing by: other names of routes, empty fields, encodings, names of models.

use super::kit::*;
use crate::settings::{Params, Switch};
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const TEXT: &str = "/v1/completions";

/// Fields that ask for nothing.
fn nothing() -> Vec<(&'static str, Value)> {
    let assistant = json!([
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": null, "tool_calls": [], "function_call": null},
        {"role": "assistant", "tool_calls": null, "audio": null, "refusal": null},
        {"role": "tool", "content": null, "tool_call_id": ""},
        {"role": "user", "content": [{"type": "input_text", "text": "there"}]},
    ]);
    vec![
        (CHAT, json!({"tools": [], "functions": [], "tool_choice": "auto"})),
        (CHAT, json!({"tools": [{"type": "function"}], "tool_choice": "none"})),
        (CHAT, json!({"tool_choice": "none", "function_call": "none"})),
        (CHAT, json!({"modalities": ["text"], "audio": null, "prediction": {"type": "content"}})),
        (CHAT, json!({"response_format": {"type": "text"}, "stream_options": null})),
        (CHAT, json!({"parallel_tool_calls": false, "store": false, "metadata": {}, "user": ""})),
        (CHAT, json!({"service_tier": "auto", "logprobs": false, "top_logprobs": 0, "stop": []})),
        (
            CHAT,
            json!({"logit_bias": {}, "n": 1, "seed": -1, "top_k": -1, "max_tokens": -1, "max_completion_tokens": 4}),
        ),
        (CHAT, json!({"reasoning_effort": null, "chat_template_kwargs": {}, "steering": {}})),
        (CHAT, json!({"add_generation_prompt": true, "continue_final_message": false})),
        (CHAT, json!({"messages": assistant})),
        (TEXT, json!({"suffix": "", "best_of": 1, "logprobs": false, "echo": false})),
        (TEXT, json!({"n": 2, "best_of": 2, "logit_bias": null, "tools": []})),
        (TEXT, json!({"parse_special": false, "stream_options": {"include_usage": true}})),
        (
            "/v1/embeddings",
            json!({"model": "tiny", "input": "hi", "dimensions": 16, "steering": {}}),
        ),
        ("/v1/embeddings", json!({"model": "tiny", "input": "hi", "dimensions": null})),
        ("/apply-template", json!({"messages": [{"role": "user", "content": "hi"}], "tools": []})),
    ]
}

#[tokio::test]
async fn what_asks_for_nothing_is_taken() {
    let house = House::new();
    for (route, more) in nothing() {
        let body = match route {
            CHAT => chat(more.clone()),
            TEXT => completion(more.clone()),
            _ => more.clone(),
        };
        let reply = house.post(route, body).await;
        assert_eq!(reply.status, 200, "{route} {more}: {}", reply.text);
    }
    // What is left out for it is told.
    let more = json!({"tools": [{"type": "function"}], "tool_choice": "none", "functions": []});
    let told = house.chat(more).await.headers["x-trimtab-ignored"].clone();
    assert_eq!(told, "tool_choice,tools");
    let part = json!([{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]);
    let reply = house.chat(json!({"messages": [{"role": "user", "content": part}]})).await;
    assert_eq!(reply.headers["x-trimtab-ignored"], "messages.content.cache_control");
}

#[tokio::test]
async fn limits_that_are_none_and_those_that_cannot_be() {
    let house = House::new();
    let free = json!({"max_tokens": -1, "logit_bias": {"62": 100}});
    assert_eq!(house.chat(free).await.ok()["choices"][0]["finish_reason"], "stop");
    for (more, told) in [
        (json!({"max_tokens": -5}), "max_tokens is -5, expected 1 or more, or -1 for no limit"),
        (json!({"max_tokens": 0}), "max_tokens is 0, expected 1 or more, or -1 for no limit"),
        (json!({"top_k": -2}), "top_k is -2, expected 0 or more, or -1 for all"),
        (json!({"n": -1}), "n is -1, not 1 to 8"),
        (json!({"max_tokens": "5"}), "max_tokens is string \"5\", expected a whole number"),
    ] {
        assert_eq!(house.chat(more).await.json()["error"]["message"], told);
    }
}

#[tokio::test]
async fn routes_have_other_names() {
    let house = House::new();
    let slashed = |path: &str| format!("{path}/");
    for path in ["/chat/completions".to_owned(), slashed(CHAT), slashed(&slashed(CHAT))] {
        house.post(&path, chat(json!({}))).await.ok();
    }
    house.post(&slashed("/completions"), completion(json!({}))).await.ok();
    house.post("/embeddings", json!({"model": "tiny", "input": "a"})).await.ok();
    house.post(&slashed("/tokenize"), json!({"content": "a"})).await.ok();
    for path in ["/models".to_owned(), slashed("/models"), slashed("/v1/models")] {
        assert_eq!(house.get(&path).await.ok()["data"][0]["id"], "tiny", "{path}");
    }
    assert_eq!(house.get("/models/tiny").await.ok()["id"], "tiny");
    for path in ["/v1/health", "/healthz", &slashed("/health"), "/healthz?full=1"] {
        assert_eq!(house.get(path).await.ok()["status"], "ok", "{path}");
    }
    assert_eq!(house.get("/").await.status, 200);
    assert_eq!(house.get(&slashed("/x")).await.error().0, 404);
    assert_eq!(house.get("/chat/completions").await.error().0, 405);
    // All of them are one route in the metrics.
    let text = house.get("/metrics").await.text;
    assert!(
        text.contains(r#"trimtab_requests_total{route="/v1/chat/completions",status="200"} 3"#)
    );
}

/// A gzip stream around stored blocks, with its check of the content.
fn gzip(content: &[u8]) -> Vec<u8> {
    let crc = content.iter().fold(u32::MAX, |crc, byte| {
        let mixed = crc ^ u32::from(*byte);
        (0..8).fold(mixed, |c, _| if c & 1 == 1 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 })
    });
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let blocks = content.chunks(0xffff).count();
    for (index, block) in content.chunks(0xffff).enumerate() {
        let length = block.len() as u16;
        out.push(u8::from(index + 1 == blocks));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out.extend((!crc).to_le_bytes());
    out.extend((content.len() as u32).to_le_bytes());
    out
}

async fn encoded(house: &House, encoding: &str, bytes: Vec<u8>) -> Reply {
    let request = Request::post("/tokenize").header("content-type", "application/json");
    let request = request.header("content-encoding", encoding);
    house.call(request.body(Body::from(bytes)).unwrap()).await
}

#[tokio::test]
async fn bodies_may_be_compressed_and_marked() {
    let house = House::new();
    let body = br#"{"content":"ab"}"#;
    for encoding in ["gzip", "GZIP"] {
        let reply = encoded(&house, encoding, gzip(body)).await;
        assert_eq!(reply.ok(), json!({"tokens": [0, 1]}), "{encoding}");
    }
    assert_eq!(encoded(&house, "identity", body.to_vec()).await.status, 200);
    let reply = encoded(&house, "br", body.to_vec()).await;
    assert_eq!(reply.error(), (415, "unsupported_media_type".to_owned(), String::new()));
    assert!(reply.text.contains("expected gzip or none"));
    // What it holds counts, not how small it was made.
    let long = encoded(&house, "gzip", gzip(&vec![b' '; (2 << 20) + 1])).await;
    assert_eq!(long.error().0, 413);
    let broken = encoded(&house, "gzip", b"no gzip".to_vec()).await;
    assert_eq!(broken.error(), (400, "invalid_json".to_owned(), String::new()));
    let silent = house.call(post("/tokenize", gzip(body))).await;
    assert!(silent.text.contains("content-encoding"), "{}", silent.text);
    let marked = [b"\xef\xbb\xbf".as_slice(), body].concat();
    assert_eq!(house.call(post("/tokenize", marked)).await.status, 200);
}

#[tokio::test]
async fn any_name_is_the_models_where_that_is_switched_on() {
    let params = Params { any_model: Switch::On, ..Params::default() };
    let house = House::with(params, Default::default());
    for name in ["gpt-4o-mini", "meta-llama/Llama-3.2-1B", "tiny"] {
        assert_eq!(house.chat(json!({"model": name})).await.ok()["model"], name);
    }
    assert_eq!(house.get("/v1/models/gpt-4").await.ok()["id"], "gpt-4");
    // A preset that does not exist would be left out in silence.
    for name in ["", "tiny@none", "gpt-4@none"] {
        let refused = house.chat(json!({"model": name})).await.error();
        assert_eq!((refused.0, refused.1.as_str()), (404, "model_not_found"), "{name}");
    }
    assert_eq!(House::new().chat(json!({"model": "gpt-4o-mini"})).await.error().0, 404);
}

#[tokio::test]
async fn a_models_room_and_what_was_there_of_a_prompt_are_told() {
    let house = House::new();
    let model = house.get("/v1/models/tiny").await.ok();
    assert_eq!((&model["max_model_len"], &model["context_length"]), (&json!(1024), &json!(1024)));
    let cached = |body: &Value| {
        let details = &body["usage"]["prompt_tokens_details"];
        details["cached_tokens"].as_u64().unwrap()
    };
    let long = json!({"messages": [{"role": "user", "content": "abcdefgh".repeat(20)}]});
    assert_eq!(cached(&house.chat(long.clone()).await.ok()), 0);
    let again = cached(&house.chat(long.clone()).await.ok());
    assert!(again > 100, "{again}");
    // Of several answers to one prompt, the first counts.
    let mut several = long;
    several["n"] = json!(3);
    assert_eq!(cached(&house.chat(several).await.ok()), again);
}

#[tokio::test]
async fn an_overflow_is_said_in_openais_words_wherever_it_is_found() {
    let house = House::new();
    let long = "x".repeat(2000);
    let messages = json!([{"role": "user", "content": long}]);
    let embed = json!({"model": "tiny", "input": ["a", long]});
    for (route, body, what, param) in [
        (CHAT, chat(json!({"messages": messages})), "messages", "messages"),
        (CHAT, chat(json!({"messages": messages, "stream": true})), "messages", "messages"),
        (TEXT, completion(json!({"prompt": long})), "prompt", "prompt"),
        (TEXT, completion(json!({"prompt": vec![1; 1024]})), "prompt", "prompt"),
        ("/v1/embeddings", embed, "input", "input[1]"),
    ] {
        let reply = house.post(route, body).await;
        assert_eq!(reply.error(), (400, "context_length_exceeded".to_owned(), param.to_owned()));
        let words = format!(
            "This model's maximum context length is 1024 tokens. However, your {what} resulted in "
        );
        assert!(reply.text.contains(&words), "{}", reply.text);
    }
}
