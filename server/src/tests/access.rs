//! Keys, ids and origins.

use super::kit::*;
use crate::settings::{Key, Params, Switch};
use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::json;

/// Every route, with a body that is good enough, and whether it may be used without a key.
fn routes() -> Vec<(Method, &'static str, String, bool)> {
    let embed = json!({"model": "tiny", "input": "a"});
    let messages = json!({"messages": [{"role": "user", "content": "a"}]});
    let (get, post) = (Method::GET, Method::POST);
    vec![
        (post.clone(), "/v1/chat/completions", chat(json!({})).to_string(), false),
        (post.clone(), "/v1/completions", completion(json!({})).to_string(), false),
        (post.clone(), "/v1/embeddings", embed.to_string(), false),
        (post.clone(), "/tokenize", json!({"content": "a"}).to_string(), false),
        (post.clone(), "/detokenize", json!({"tokens": [1]}).to_string(), false),
        (post.clone(), "/apply-template", messages.to_string(), false),
        (post.clone(), "/v1/steering/check", json!({"steering": {}}).to_string(), false),
        (post.clone(), "/v1/feedback", json!({"response": "r", "thumb": "up"}).to_string(), false),
        (post.clone(), "/v1/duels", chat(json!({})).to_string(), false),
        (get.clone(), "/v1/duels/tiny", String::new(), false),
        (post.clone(), "/v1/duels/tiny/choice", json!({"choice": 0}).to_string(), false),
        (get.clone(), "/v1/adapters", String::new(), false),
        (get.clone(), "/v1/adapters/tiny", String::new(), false),
        (get.clone(), "/v1/adapters/tiny/versions", String::new(), false),
        (post.clone(), "/v1/adapters/tiny/revert", json!({"to": 0}).to_string(), false),
        (get.clone(), "/v1/adapters/tiny/export", String::new(), false),
        (post, "/v1/adapters/tiny/import", String::new(), false),
        (get.clone(), "/v1/steering", String::new(), false),
        (get.clone(), "/v1/steering/vectors", String::new(), false),
        (get.clone(), "/v1/models", String::new(), false),
        (get.clone(), "/v1/models/tiny", String::new(), false),
        (get.clone(), "/metrics", String::new(), false),
        (get.clone(), "/health", String::new(), true),
        (get.clone(), "/version", String::new(), true),
        (get.clone(), "/openapi.json", String::new(), true),
        (get, "/", String::new(), true),
    ]
}

/// What a caller gets who is let in: there is no adapter, no answer and no duel yet.
fn answered(path: &str) -> u16 {
    match path {
        "/v1/duels" | "/v1/adapters/tiny/import" => 400,
        "/v1/feedback" => 404,
        path if path.contains("/tiny") && !path.starts_with("/v1/models") => 404,
        _ => 200,
    }
}

fn locked() -> House {
    let keys = vec![Key::user("ann", "sk-ann"), Key::admin("root", "sk-root")];
    House::with(Params { keys, ..Params::default() }, Default::default())
}

#[tokio::test]
async fn every_route_has_its_scope() {
    let house = locked();
    for (method, path, body, open) in routes() {
        for (key, known) in [
            (None, false),
            (Some("Bearer sk-other"), false),
            (Some("Bearer SK-ANN"), false),
            (Some("sk-ann"), false),
            (Some("Bearer sk-ann"), true),
            (Some("Bearer sk-root"), true),
        ] {
            let mut request = Request::builder().method(method.clone()).uri(path);
            request = request.header("content-type", "application/json");
            if let Some(key) = key {
                request = request.header("authorization", key);
            }
            let reply = house.call(request.body(Body::from(body.clone())).unwrap()).await;
            if open || known {
                let expected = answered(path);
                assert_eq!(reply.status, expected, "{method} {path} {key:?}: {}", reply.text);
            } else {
                let refused = (401, "invalid_api_key".to_owned(), String::new());
                assert_eq!(reply.error(), refused, "{method} {path} {key:?}");
                assert_eq!(reply.headers["www-authenticate"], "Bearer");
                assert_eq!(reply.json()["error"]["type"], "authentication_error");
            }
        }
    }
    assert_eq!(house.get("/nowhere").await.error().0, 404);
}

#[tokio::test]
async fn the_table_above_has_every_route_of_the_document() {
    let house = House::new();
    let document = house.get("/openapi.json").await.ok();
    let mut known: Vec<&str> = routes().iter().map(|route| route.1).collect();
    // There is no vector of this name, so it is not in the table.
    known.push("/v1/steering/vectors/tiny");
    // Users are not let in.
    known.push("/v1/steering/audit");
    for path in document["paths"].as_object().unwrap().keys() {
        assert!(known.contains(&path.replace("{id}", "tiny").as_str()), "{path}");
    }
    assert_eq!(document["paths"].as_object().unwrap().len() + 1, known.len());
}

#[tokio::test]
async fn requests_are_named_and_names_are_echoed() {
    let house = House::new();
    let ask =
        |id: &str| Request::get("/health").header("x-request-id", id).body(Body::empty()).unwrap();
    assert_eq!(house.call(ask("abc_DEF-1")).await.headers["x-request-id"], "abc_DEF-1");
    for bad in ["", "a b", "a/b", &"x".repeat(65)] {
        let id = house.call(ask(bad)).await.headers["x-request-id"].clone();
        assert!(id.to_str().unwrap().starts_with("req-"), "{bad}: {id:?}");
    }
    let reply = house.get("/nowhere").await;
    assert!(reply.headers.contains_key("x-request-id"));
}

fn preflight(origin: &str) -> Request<Body> {
    Request::options("/v1/chat/completions")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,X-Stainless-Os,x-evil,content-type",
        )
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn pages_are_let_in_by_origin() {
    let allow = "access-control-allow-origin";
    let closed = House::new();
    assert!(!closed.call(preflight("https://a.example")).await.headers.contains_key(allow));
    let keys = vec![Key::user("ann", "sk-ann")];
    let cors_origins = vec!["https://a.example".to_owned()];
    let house = House::with(Params { keys, cors_origins, ..Params::default() }, Default::default());
    let reply = house.call(preflight("https://a.example")).await;
    assert_eq!(
        (reply.status.as_u16(), &reply.headers[allow]),
        (200, &"https://a.example".parse().unwrap())
    );
    assert_eq!(
        reply.headers["access-control-allow-headers"],
        "authorization,X-Stainless-Os,content-type"
    );
    assert_eq!(reply.headers["access-control-allow-methods"], "GET,POST,PUT,DELETE");
    assert!(!house.call(preflight("https://b.example")).await.headers.contains_key(allow));
    let request = Request::get("/health").header("origin", "https://a.example");
    let reply = house.call(request.body(Body::empty()).unwrap()).await;
    let exposed = "x-request-id,x-trimtab-ignored,x-trimtab-warning,x-trimtab-seed,retry-after";
    assert_eq!(reply.headers["access-control-expose-headers"], exposed);
    // A refusal can be read by the page that it is for.
    let packed = Request::post("/tokenize").header("origin", "https://a.example");
    let packed = packed.header("content-encoding", "br").body(Body::from("x")).unwrap();
    let reply = house.call(packed).await;
    assert_eq!((reply.status.as_u16(), reply.headers.contains_key(allow)), (415, true));
}

#[tokio::test]
async fn the_page_can_be_left_out_and_runs_nothing_from_elsewhere() {
    let reply = House::new().get("/").await;
    let policy = reply.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'nonce-"), "{policy}");
    assert!(!reply.text.contains("{nonce}") && !reply.text.contains("http"), "{}", reply.text);
    let hidden = Params { no_ui: Switch::On, ..Params::default() };
    assert_eq!(House::with(hidden, Default::default()).get("/").await.status, 404);
}
