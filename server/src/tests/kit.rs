//! A served tiny model, requests to it, and a brake for its engine.

use crate::settings::{Key, Params, Switch};
use crate::steer::{Setup, Steering};
use crate::{App, Persistence, Server};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use tokio_stream::StreamExt;
use tower::ServiceExt;
use trimtab_adapters::store::Store;
use trimtab_runtime::Model;
use trimtab_runtime::engine::{EngineOptions, Notice, SubmitOptions, Ticket};
use trimtab_runtime::generate::{Event, Flow, Generation, Request as Asked};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::testing::tiny;
use trimtab_runtime::text::Variables;
use trimtab_steering::spec::SteeredModel;

/// The longest that anything may take.
pub const LONG: Duration = Duration::from_secs(30);

/// A served model.
pub struct House {
    pub app: Arc<App>,
    pub router: Router,
}

/// A response, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

pub fn tiny_model() -> Arc<Model> {
    Arc::new(tiny::model(4096).unwrap())
}

impl House {
    pub fn new() -> House {
        House::with(Params::default(), EngineOptions::default())
    }

    pub fn with(params: Params, options: EngineOptions) -> House {
        House::of(tiny_model(), params, options)
    }

    /// Of a model under another template.
    pub fn under(template: &str, params: Params) -> House {
        let model = tiny::model_under(template, 4096).unwrap();
        House::of(Arc::new(model), params, EngineOptions::default())
    }

    /// Of a model whose template is given variables.
    pub fn given(template: &str, variables: Variables) -> House {
        let model = tiny::model_given(template, variables, 4096).unwrap();
        House::of(Arc::new(model), Params::default(), EngineOptions::default())
    }

    fn of(model: Arc<Model>, params: Params, options: EngineOptions) -> House {
        let settings = params.check().unwrap();
        let app = Server::builder(model).engine(options).settings(settings).build().unwrap();
        House { router: app.router(), app }
    }

    /// With an administrator, and with everything that a store holds.
    pub async fn keeping(store: Store) -> House {
        let model = tiny_model();
        let keep = Persistence::in_store(store, Switch::On);
        let steering =
            Steering::new(SteeredModel::of(&model).unwrap(), Setup::default(), keep.clone());
        let kept = (keep.vectors().await.unwrap(), keep.settings().await.unwrap());
        assert_eq!(steering.restore(kept.0, kept.1), []);
        let keys = vec![Key::user("alice", "a"), Key::admin("root", "r")];
        let params = Params { keys, admin: Switch::On, ..Params::default() };
        let settings = params.check().unwrap();
        let server = Server::builder(model).settings(settings).steering(steering).keep(keep);
        let app = server.build().unwrap();
        House { router: app.router(), app }
    }

    pub async fn send(&self, request: Request<Body>) -> axum::response::Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn call(&self, request: Request<Body>) -> Reply {
        read(self.send(request).await).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.call(post(path, body.to_string())).await
    }

    pub async fn chat(&self, more: Value) -> Reply {
        self.post("/v1/chat/completions", chat(more)).await
    }

    /// A request of a key's.
    pub async fn keyed(&self, (method, path): (&str, &str), key: &str, body: Value) -> Reply {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("authorization", format!("Bearer {key}"));
        let request = request.header("content-type", "application/json");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.call(request.body(Body::from(body)).unwrap()).await
    }

    /// An answer that takes the engine's thread with it until it is let go on.
    pub fn brake(&self) -> Brake {
        let model = &self.app.model;
        let mut session = model.session(Plan::empty()).unwrap();
        session.push_prompt(&[1, 2, 3]).unwrap();
        // The end token is banned, so that it goes on as long as it is wanted.
        let ban = trimtab_runtime::logits::Bias::new([(tiny::END, f32::NEG_INFINITY)]).unwrap();
        let asked = Asked { processors: vec![Arc::new(ban)], ..Asked::default() };
        let generation = Generation::new(session, model.tokenizer().unwrap().clone(), asked);
        let (go, wait) = channel::<()>();
        let (tell, reached) = channel();
        let sink = move |notice| {
            if let Notice::Event { event: Event::Token(_), .. } = notice {
                tell.send(()).ok();
                // The brake is released.
                if wait.recv().is_err() {
                    return Flow::Cancel;
                }
            }
            Flow::Continue
        };
        let generations = vec![generation.unwrap()];
        let ticket = self.app.engine.submit(generations, SubmitOptions::default(), sink).unwrap();
        reached.recv_timeout(LONG).unwrap();
        Brake { go, reached, _ticket: ticket }
    }

    /// Waits until this many answers run or wait.
    pub async fn present(&self, count: usize) {
        let until = Instant::now() + LONG;
        while self.app.engine.load().present != count {
            assert!(Instant::now() < until, "{:?}", self.app.engine.load());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Holds the engine after each round.
pub struct Brake {
    go: Sender<()>,
    reached: Receiver<()>,
    _ticket: Ticket,
}

impl Brake {
    /// Lets it run another round.
    pub fn step(&self) {
        self.go.send(()).unwrap();
        self.reached.recv_timeout(LONG).unwrap();
    }
}

pub async fn read(response: axum::response::Response) -> Reply {
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    Reply { status: parts.status, headers: parts.headers, text }
}

/// The next piece of a body.
pub async fn piece(body: &mut axum::body::BodyDataStream) -> Option<Bytes> {
    tokio::time::timeout(LONG, body.next()).await.unwrap().map(Result::unwrap)
}

pub fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(path).header("content-type", "application/json");
    request.body(body.into()).unwrap()
}

/// A short chat request, with more fields.
pub fn chat(more: Value) -> Value {
    let mut body = json!({
        "model": "tiny", "messages": [{"role": "user", "content": "hello there"}],
        "max_tokens": 6, "temperature": 0,
    });
    merge(&mut body, more);
    body
}

/// A short completion request, with more fields.
pub fn completion(more: Value) -> Value {
    let mut body =
        json!({"model": "tiny", "prompt": "once upon", "max_tokens": 6, "temperature": 0});
    merge(&mut body, more);
    body
}

fn merge(body: &mut Value, more: Value) {
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
}

impl Reply {
    pub fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json", "{}", self.text);
        serde_json::from_str(&self.text).unwrap()
    }

    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }

    /// The documents of an event stream; the last is the string `[DONE]`.
    pub fn events(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.text);
        assert_eq!(self.headers["content-type"], "text/event-stream");
        events(&self.text)
    }

    pub fn error(&self) -> (u16, String, String) {
        let error = &self.json()["error"];
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        assert!(!text("message").is_empty() && !text("type").is_empty(), "{}", self.text);
        (self.status.as_u16(), text("code"), text("param"))
    }
}

/// The documents of an event stream, read by the rules of the format.
pub fn events(text: &str) -> Vec<Value> {
    assert!(text.ends_with("\n\n"));
    let lines = text.split_inclusive('\n').filter(|line| !line.starts_with(':'));
    let text: String = lines.collect();
    let frames = text.split_terminator("\n\n");
    let data =
        frames.map(|frame| frame.strip_prefix("data: ").unwrap_or_else(|| panic!("{frame}")));
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data.trim()))).collect()
}

/// Text of all chunks of a choice.
pub fn streamed(events: &[Value], choice: u64) -> String {
    let choices = events.iter().filter_map(|event| event["choices"].as_array()).flatten();
    let own = choices.filter(|entry| entry["index"] == choice);
    own.filter_map(|entry| entry["delta"]["content"].as_str().or(entry["text"].as_str())).collect()
}
