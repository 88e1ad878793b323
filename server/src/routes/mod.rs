//! What is where, and who may go there.

pub(crate) mod about;
mod body;
pub(crate) mod embeddings;
pub(crate) mod generate;
pub(crate) mod models;
mod page;
pub(crate) mod steering;
pub(crate) mod text;

use crate::app::App;
use crate::refusal::Refusal;
use crate::wire::error::Code;
use crate::{auth, cors, visit};
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post, put};
use std::sync::Arc;

/// Every route, as metrics and logs call it: a path that a request makes up must not become a label.
const ROUTES: [&str; 16] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/tokenize",
    "/detokenize",
    "/apply-template",
    "/v1/models",
    "/v1/steering",
    "/v1/steering/audit",
    "/v1/steering/check",
    "/v1/steering/vectors",
    "/health",
    "/version",
    "/openapi.json",
    "/metrics",
    "/",
];
const MODEL: &str = "/v1/models/{id}";
const VECTOR: &str = "/v1/steering/vectors/{id}";

/// The route of a path, as metrics and logs call it.
pub(crate) fn label(path: &str) -> &'static str {
    match ROUTES.iter().find(|route| **route == path) {
        Some(route) => route,
        None if path.starts_with("/v1/models/") => MODEL,
        None if path.starts_with("/v1/steering/vectors/") => VECTOR,
        None => "other",
    }
}

impl App {
    /// All routes, to be served or mounted in another application.
    pub fn router(self: &Arc<App>) -> Router {
        let mut open = Router::new()
            .route("/health", get(about::health))
            .route("/version", get(about::version))
            .route("/openapi.json", get(about::openapi));
        if !self.settings.no_ui.is_on() {
            open = open.route("/", get(page::page));
        }
        let user = Router::new()
            .route("/v1/chat/completions", post(generate::chat))
            .route("/v1/completions", post(generate::completions))
            .route("/v1/embeddings", post(embeddings::embeddings))
            .route("/tokenize", post(text::tokenize))
            .route("/detokenize", post(text::detokenize))
            .route("/apply-template", post(text::apply_template))
            .route("/v1/models", get(models::list))
            .route("/v1/models/{*id}", get(models::one))
            .route("/v1/steering", get(steering::settings))
            .route("/v1/steering/check", post(steering::check))
            .route("/v1/steering/vectors", get(steering::list))
            .route("/v1/steering/vectors/{id}", get(steering::describe))
            .route("/metrics", get(about::metrics))
            .route_layer(from_fn_with_state(self.clone(), auth::user));
        let admin = Router::new()
            .route("/v1/steering", put(steering::put_settings))
            .route("/v1/steering/audit", get(steering::audits))
            .route("/v1/steering/vectors", post(steering::load))
            .route("/v1/steering/vectors/{id}", put(steering::upload).delete(steering::delete))
            .route_layer(from_fn_with_state(self.clone(), auth::admin));
        let mut all = open
            .merge(user)
            .merge(admin)
            .fallback(unknown)
            .method_not_allowed_fallback(wrong_method);
        if let Some(cors) = cors::layer(&self.settings) {
            all = all.layer(cors).layer(from_fn(cors::narrow));
        }
        all.layer(from_fn_with_state(self.clone(), visit::record)).with_state(self.clone())
    }
}

async fn unknown(request: Request) -> Refusal {
    let message = format!("route {} is not known", request.uri().path());
    Refusal::new(Code::NotFound, message)
}

async fn wrong_method(request: Request) -> Refusal {
    let message = format!("route {} takes no {}", request.uri().path(), request.method());
    let refusal = Refusal::new(Code::NotFound, message);
    Refusal { status: StatusCode::METHOD_NOT_ALLOWED, ..refusal }
}
