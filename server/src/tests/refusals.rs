//! Requests that cannot be done: each has its status, its code and its field.

use super::kit::*;
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const TEXT: &str = "/v1/completions";
const EMBED: &str = "/v1/embeddings";

fn say(message: Value) -> Value {
    json!({"messages": [{"role": "user", "content": "hi"}, message]})
}

/// Route, what is added to a good body, status, code, field.
type Case = (&'static str, Value, u16, &'static str, &'static str);

const VALUE: &str = "invalid_value";
const UNSUPPORTED: &str = "unsupported_field";

/// Who is asked, and what is said.
fn models_and_messages() -> Vec<Case> {
    let image = json!([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}]);
    vec![
        (CHAT, json!({"model": "other"}), 404, "model_not_found", "model"),
        (CHAT, json!({"model": "tiny@none"}), 404, "model_not_found", "model"),
        (CHAT, json!({"model": 7}), 400, VALUE, "model"),
        (CHAT, json!({"messages": []}), 400, VALUE, "messages"),
        (CHAT, json!({"messages": "hi"}), 400, VALUE, "messages"),
        (CHAT, json!({"messages": ["hi"]}), 400, VALUE, "messages[0]"),
        (CHAT, json!({"messages": [{"content": "hi"}]}), 400, VALUE, "messages[0].role"),
        (CHAT, say(json!({"role": "root", "content": "x"})), 400, VALUE, "messages[1].role"),
        (CHAT, say(json!({"role": "user"})), 400, VALUE, "messages[1].content"),
        (CHAT, say(json!({"role": "user", "content": null})), 400, VALUE, "messages[1].content"),
        (CHAT, say(json!({"role": "user", "content": 5})), 400, VALUE, "messages[1].content"),
        (
            CHAT,
            say(json!({"role": "user", "content": image})),
            400,
            UNSUPPORTED,
            "messages[1].content[1]",
        ),
        (
            CHAT,
            say(json!({"role": "user", "content": [{"type": "text"}]})),
            400,
            VALUE,
            "messages[1].content[0].text",
        ),
        (
            CHAT,
            say(json!({"role": "assistant", "content": "", "tool_calls": [1]})),
            400,
            UNSUPPORTED,
            "messages[1].tool_calls",
        ),
        (
            CHAT,
            json!({"messages": [{"role": "user", "content": "x".repeat(2000)}]}),
            400,
            "context_length_exceeded",
            "messages",
        ),
    ]
}

/// How tokens are chosen.
fn sampling() -> Vec<Case> {
    vec![
        (CHAT, json!({"max_tokens": 0}), 400, VALUE, "max_tokens"),
        (CHAT, json!({"max_tokens": -2}), 400, VALUE, "max_tokens"),
        (CHAT, json!({"max_tokens": 1.5}), 400, VALUE, "max_tokens"),
        (CHAT, json!({"max_completion_tokens": 7}), 400, VALUE, "max_completion_tokens"),
        (CHAT, json!({"temperature": -0.1}), 400, VALUE, "temperature"),
        (CHAT, json!({"temperature": "hot"}), 400, VALUE, "temperature"),
        (CHAT, json!({"temperature": 1e30}), 400, VALUE, "temperature"),
        (CHAT, json!({"top_p": 1.1}), 400, VALUE, "top_p"),
        (CHAT, json!({"min_p": -1}), 400, VALUE, "min_p"),
        (CHAT, json!({"top_k": -3}), 400, VALUE, "top_k"),
        (CHAT, json!({"repeat_penalty": 0}), 400, VALUE, "repeat_penalty"),
        (CHAT, json!({"presence_penalty": 3}), 400, VALUE, "presence_penalty"),
        (CHAT, json!({"frequency_penalty": -2.5}), 400, VALUE, "frequency_penalty"),
        (CHAT, json!({"logit_bias": {"64": 1}}), 400, VALUE, "logit_bias.64"),
        (CHAT, json!({"logit_bias": {"x": 1}}), 400, VALUE, "logit_bias.x"),
    ]
}

/// How many, how long, and in what form.
fn limits() -> Vec<Case> {
    vec![
        (CHAT, json!({"logit_bias": {"3": 101}}), 400, VALUE, "logit_bias.3"),
        (CHAT, json!({"logit_bias": [1]}), 400, VALUE, "logit_bias"),
        (CHAT, json!({"n": 0}), 400, VALUE, "n"),
        (CHAT, json!({"n": 9}), 400, VALUE, "n"),
        (CHAT, json!({"n": 1_000_000_000_000_u64}), 400, VALUE, "n"),
        (CHAT, json!({"seed": -2}), 400, VALUE, "seed"),
        (CHAT, json!({"seed": 0.5}), 400, VALUE, "seed"),
        (CHAT, json!({"stop": ""}), 400, VALUE, "stop"),
        (CHAT, json!({"stop": ["a", ""]}), 400, VALUE, "stop[1]"),
        (CHAT, json!({"stop": ["a", 1]}), 400, VALUE, "stop[1]"),
        (CHAT, json!({"stop": vec!["x"; 17]}), 400, VALUE, "stop"),
        (CHAT, json!({"stop": "x".repeat(2000)}), 400, VALUE, "stop"),
        (CHAT, json!({"stream": "yes"}), 400, VALUE, "stream"),
        (
            CHAT,
            json!({"stream_options": {"include_usage": 1}}),
            400,
            VALUE,
            "stream_options.include_usage",
        ),
        (CHAT, json!({"logprobs": true, "top_logprobs": 21}), 400, VALUE, "top_logprobs"),
        (CHAT, json!({"top_logprobs": 2}), 400, VALUE, "top_logprobs"),
    ]
}

/// What would change the shape of an answer.
fn refused() -> Vec<Case> {
    vec![
        (CHAT, json!({"tools": [{"type": "function"}]}), 400, UNSUPPORTED, "tools"),
        (CHAT, json!({"tool_choice": "required"}), 400, UNSUPPORTED, "tool_choice"),
        (CHAT, json!({"functions": [{}]}), 400, UNSUPPORTED, "functions"),
        (CHAT, json!({"function_call": {"name": "f"}}), 400, UNSUPPORTED, "function_call"),
        (
            CHAT,
            json!({"response_format": {"type": "json_object"}}),
            400,
            UNSUPPORTED,
            "response_format",
        ),
        (CHAT, json!({"modalities": ["audio"]}), 400, UNSUPPORTED, "modalities"),
        (CHAT, json!({"audio": {"voice": "x"}}), 400, UNSUPPORTED, "audio"),
        (CHAT, json!({"steering": {"vector": []}}), 400, "unknown_field", "steering.vector"),
        (CHAT, json!({"steering": []}), 400, VALUE, "steering"),
    ]
}

fn elsewhere() -> Vec<Case> {
    vec![
        (TEXT, json!({"prompt": ""}), 400, VALUE, "prompt"),
        (TEXT, json!({"prompt": []}), 400, VALUE, "prompt"),
        (TEXT, json!({"prompt": [1, 64]}), 400, VALUE, "prompt[1]"),
        (TEXT, json!({"prompt": [1, "a"]}), 400, VALUE, "prompt"),
        (TEXT, json!({"prompt": ["a", ""]}), 400, VALUE, "prompt[1]"),
        (TEXT, json!({"prompt": [[1], [64]]}), 400, VALUE, "prompt[1][0]"),
        (TEXT, json!({"prompt": vec!["a"; 257]}), 400, VALUE, "prompt"),
        (
            TEXT,
            json!({"prompt": ["a", "x".repeat(2000)]}),
            400,
            "context_length_exceeded",
            "prompt[1]",
        ),
        (TEXT, json!({"echo": true, "logprobs": 0, "max_tokens": 0}), 400, UNSUPPORTED, "echo"),
        (TEXT, json!({"prompt": [1, -1]}), 400, VALUE, "prompt[1]"),
        (TEXT, json!({"prompt": vec![1; 1024]}), 400, "context_length_exceeded", "prompt"),
        (TEXT, json!({"suffix": "x"}), 400, UNSUPPORTED, "suffix"),
        (TEXT, json!({"best_of": 2}), 400, UNSUPPORTED, "best_of"),
        (TEXT, json!({"echo": true, "logprobs": 1}), 400, UNSUPPORTED, "echo"),
        (TEXT, json!({"logprobs": 21}), 400, VALUE, "logprobs"),
        (TEXT, json!({"logprobs": true}), 400, VALUE, "logprobs"),
        (EMBED, json!({"input": []}), 400, VALUE, "input"),
        (EMBED, json!({"input": ["a", ""]}), 400, VALUE, "input[1]"),
        (EMBED, json!({"input": ["a", 1]}), 400, VALUE, "input"),
        (EMBED, json!({"input": [[1, 99]]}), 400, VALUE, "input[0]"),
        (EMBED, json!({"input": {"a": 1}}), 400, VALUE, "input"),
        (EMBED, json!({"dimensions": 8}), 400, UNSUPPORTED, "dimensions"),
        (EMBED, json!({"steering": {"vectors": [1]}}), 400, UNSUPPORTED, "steering"),
        (EMBED, json!({"encoding_format": "int8"}), 400, VALUE, "encoding_format"),
        ("/tokenize", json!({"content": 1}), 400, VALUE, "content"),
        ("/detokenize", json!({"tokens": [1, 64]}), 400, VALUE, "tokens[1]"),
        (
            "/apply-template",
            json!({"messages": [{"role": "x", "content": ""}]}),
            400,
            VALUE,
            "messages[0].role",
        ),
    ]
}

fn table() -> Vec<Case> {
    let parts = [models_and_messages(), sampling(), limits(), refused(), elsewhere()];
    let all = parts.concat();
    assert!(all.len() >= 40);
    all
}

fn body(route: &str, more: Value) -> Value {
    match route {
        CHAT => chat(more),
        TEXT => completion(more),
        EMBED => {
            let mut body = json!({"model": "tiny", "input": "hi"});
            more.as_object().unwrap().iter().for_each(|(key, value)| body[key] = value.clone());
            body
        }
        _ => more,
    }
}

#[tokio::test]
async fn every_refusal_names_its_field() {
    let house = House::new();
    for (route, more, status, code, param) in table() {
        let reply = house.post(route, body(route, more.clone())).await;
        let found = reply.error();
        assert_eq!(
            (found.0, found.1.as_str()),
            (status, code),
            "{route} {more:.100}: {}",
            reply.text
        );
        // One of several inputs that is at fault inside is named as deep as it can be.
        assert!(found.2.starts_with(param), "{route} {more:.100}: {}", reply.text);
        assert!(reply.headers.contains_key("x-request-id"));
    }
    assert_eq!(house.app.engine.load().rounds, 0, "something ran");
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused() {
    let house = House::new();
    let deep = format!(r#"{{"model":"tiny","messages":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let twice = r#"{"model":"tiny","model":"tiny","messages":[]}"#;
    let spelled = r#"{"model":"tiny","messages":[{"role":"user","content":"\ud800"}]}"#;
    for (bytes, code, param) in [
        (&b""[..], "invalid_json", ""),
        (b"{", "invalid_json", ""),
        (b"null", "invalid_value", ""),
        (b"[1]", "invalid_value", ""),
        (b"{\"model\":\"\xff\xfe\"}", "invalid_json", ""),
        (b"{\"model\":\"tiny\"} trailing", "invalid_json", ""),
        (deep.as_bytes(), "invalid_json", "messages"),
        (twice.as_bytes(), "invalid_value", "model"),
        (spelled.as_bytes(), "invalid_json", ""),
    ] {
        let reply = house.call(post(CHAT, bytes.to_vec())).await;
        let (status, found, at) = reply.error();
        assert_eq!((status, found.as_str()), (400, code), "{}", reply.text);
        assert!(at.starts_with(param), "{}", reply.text);
    }
}

#[tokio::test]
async fn bodies_of_another_type_or_length_are_refused() {
    let house = House::new();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        let request = Request::post(CHAT).header("content-type", kind);
        let reply = house.call(request.body(Body::from("{}")).unwrap()).await;
        assert_eq!(reply.error(), (415, "unsupported_media_type".to_owned(), String::new()));
    }
    let bare = Request::post(CHAT).body(Body::from("{}")).unwrap();
    assert_eq!(house.call(bare).await.error().0, 415);
    let charset =
        Request::post("/tokenize").header("content-type", "Application/JSON; charset=utf-8");
    let reply = house.call(charset.body(Body::from(r#"{"content":"a"}"#)).unwrap()).await;
    assert_eq!(reply.status, 200);
    for length in [2 << 20, (2 << 20) + 1, 10_000_000, 100_000_000] {
        let reply = house.call(post("/tokenize", vec![b' '; length])).await;
        let code = if length > 2 << 20 { (413, "body_too_large") } else { (400, "invalid_json") };
        assert_eq!((reply.error().0, reply.error().1.as_str()), code);
    }
}

#[tokio::test]
async fn a_slow_body_is_not_waited_for() {
    let params = crate::settings::Params {
        body_timeout: std::time::Duration::from_millis(20),
        ..Default::default()
    };
    let house = House::with(params, Default::default());
    let (tell, told) =
        tokio::sync::mpsc::unbounded_channel::<Result<&'static str, std::io::Error>>();
    tell.send(Ok("{")).unwrap();
    let stream = tokio_stream::wrappers::UnboundedReceiverStream::new(told);
    let reply = house.call(post(CHAT, Body::from_stream(stream))).await;
    assert_eq!(reply.error(), (504, "deadline_exceeded".to_owned(), String::new()));
    // It was the body that was slow, and not the work.
    assert!(!reply.headers.contains_key("x-should-retry"));
    drop(tell);
}

#[tokio::test]
async fn unknown_routes_and_methods_are_told() {
    let house = House::new();
    for path in ["/v1/responses", "/v1/messages", "/v1/adapters/x/y", "/x/y"] {
        let reply = house.post(path, json!({})).await;
        assert_eq!(reply.error(), (404, "not_found".to_owned(), String::new()), "{path}");
    }
    let reply = house.get(CHAT).await;
    assert_eq!((reply.error().0, &reply.headers["allow"]), (405, &"POST".parse().unwrap()));
    assert_eq!(house.post("/health", json!({})).await.error().0, 405);
}
