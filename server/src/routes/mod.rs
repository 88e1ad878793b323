//! What is where, and who may go there.

pub(crate) mod about;
mod body;
pub(crate) mod embeddings;
pub(crate) mod generate;
pub(crate) mod models;
mod openapi;
mod page;
pub(crate) mod steering;
pub(crate) mod text;

use crate::app::App;
use crate::refusal::Refusal;
use crate::wire::error::Code;
use crate::{auth, cors, leftover, visit};
use axum::Router;
use axum::extract::Request;
use axum::http::header::CONTENT_ENCODING;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_request};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use std::sync::Arc;
use tower_http::decompression::RequestDecompressionLayer;

impl App {
    /// All routes, to be served or mounted in another application.
    pub fn router(self: &Arc<App>) -> Router {
        let mut open = Router::new()
            .route("/health", get(about::health))
            .route("/version", get(about::version))
            .route("/openapi.json", get(openapi::openapi));
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
        let inflate = RequestDecompressionLayer::new().gzip(true).pass_through_unaccepted(true);
        all = all.layer(from_fn(encoded)).layer(inflate).layer(map_request(usual_encoding));
        // Around what may refuse, so that a page can read the refusal.
        if let Some(cors) = cors::layer(&self.settings) {
            all = all.layer(cors).layer(from_fn(cors::narrow));
        }
        let all = all
            .layer(from_fn_with_state(self.clone(), visit::record))
            .layer(from_fn_with_state(self.clone(), leftover::drain))
            .with_state(self.clone());
        // A path is rewritten before it is looked up, so that logs and metrics know one name of each route.
        Router::new().fallback_service(all).layer(map_request(usual_path))
    }
}

/// Refuses a body in an encoding that nothing has undone.
async fn encoded(request: Request, next: Next) -> Response {
    let encoding = request.headers().get(CONTENT_ENCODING).map(|value| value.to_str());
    match encoding {
        None => next.run(request).await,
        Some(Ok(plain)) if plain.trim().eq_ignore_ascii_case("identity") => next.run(request).await,
        Some(other) => {
            let other = other.unwrap_or("not text");
            let message = format!("content-encoding is {other:?}, expected gzip or none");
            Refusal::new(Code::UnsupportedMediaType, message).into_response()
        }
    }
}

/// Writes the name of gzip as the layer that undoes it knows it.
async fn usual_encoding(mut request: Request) -> Request {
    let is_gzip = |value: &HeaderValue| {
        ["gzip", "x-gzip"].iter().any(|name| value.as_bytes().eq_ignore_ascii_case(name.as_bytes()))
    };
    if request.headers().get(CONTENT_ENCODING).is_some_and(is_gzip) {
        request.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    request
}

/// Takes the other names of a route for the one it is known by: without `/v1`, with a slash at the end, and the names under
/// which probes look for health.
async fn usual_path(mut request: Request) -> Request {
    let Some(path) = usual(request.uri().path()) else { return request };
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = request.uri().clone().into_parts();
    // A path that cannot be written stays, and is not known.
    if let Ok(path) = PathAndQuery::try_from(format!("{path}{query}")) {
        parts.path_and_query = Some(path);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// The usual name of a path, if it has another.
fn usual(path: &str) -> Option<String> {
    let trimmed = path.trim_end_matches('/');
    let trimmed = if trimmed.is_empty() { "/" } else { trimmed };
    let bare = ["/chat/completions", "/completions", "/embeddings", "/models"];
    let usual = match trimmed {
        "/v1/health" | "/healthz" => "/health".to_owned(),
        bare_path if bare.contains(&bare_path) || bare_path.starts_with("/models/") => {
            format!("/v1{bare_path}")
        }
        other => other.to_owned(),
    };
    (usual != path).then_some(usual)
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
