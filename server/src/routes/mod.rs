//! What is where, and who may go there.

mod about;
mod adapters;
mod body;
mod duels;
mod embeddings;
mod feedback;
mod generate;
mod models;
mod openapi;
mod page;
mod steering;
mod text;

use crate::app::App;
use crate::error::ApiError;
use crate::wire::error::Code;
use crate::{auth, cors, request_context, unread_body};
use axum::Router;
use axum::extract::Request;
use axum::http::header::CONTENT_ENCODING;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_request};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use tower_http::decompression::RequestDecompressionLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

impl App {
    /// All routes, to be served or mounted in another application.
    pub fn router(self: &Arc<App>) -> Router {
        let (mut open, ..) = open().split_for_parts();
        if !self.settings.no_ui.is_on() {
            open = open.route("/", get(page::page));
        }
        let user: Router<_> =
            user().route_layer(from_fn_with_state(self.clone(), auth::user)).into();
        let admin: Router<_> =
            admin().route_layer(from_fn_with_state(self.clone(), auth::admin)).into();
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
            .layer(from_fn_with_state(self.clone(), request_context::record))
            .layer(from_fn_with_state(self.clone(), unread_body::drain))
            .with_state(self.clone());
        // A path is rewritten before it is looked up, so that logs and metrics know one name of each route.
        Router::new().fallback_service(all).layer(map_request(usual_path))
    }
}

/// Routes that need no key.
fn open() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(about::health))
        .routes(routes!(about::version))
        .routes(routes!(openapi::openapi))
}

/// Routes that need a key.
fn user() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(generate::chat))
        .routes(routes!(generate::completions))
        .routes(routes!(embeddings::embeddings))
        .routes(routes!(text::tokenize))
        .routes(routes!(text::detokenize))
        .routes(routes!(text::apply_template))
        .routes(routes!(models::list))
        // Names of models have slashes.
        .route("/v1/models/{*id}", get(models::one))
        .routes(routes!(feedback::feedback))
        .routes(routes!(duels::open))
        .routes(routes!(duels::describe))
        .routes(routes!(duels::choose))
        .routes(routes!(adapters::list))
        .routes(routes!(adapters::describe, adapters::delete))
        .routes(routes!(adapters::versions))
        .routes(routes!(adapters::revert))
        .routes(routes!(adapters::export))
        .routes(routes!(adapters::import))
        .routes(routes!(steering::settings))
        .routes(routes!(steering::check))
        .routes(routes!(steering::list))
        .routes(routes!(steering::describe))
        .routes(routes!(about::metrics))
}

/// Routes that need an administrator's key.
fn admin() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(steering::put_settings))
        .routes(routes!(steering::audits))
        .routes(routes!(steering::load))
        .routes(routes!(steering::upload, steering::delete))
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
            ApiError::new(Code::UnsupportedMediaType, message).into_response()
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

async fn unknown(request: Request) -> ApiError {
    let message = format!("route {} is not known", request.uri().path());
    ApiError::new(Code::NotFound, message)
}

async fn wrong_method(request: Request) -> ApiError {
    let message = format!("route {} takes no {}", request.uri().path(), request.method());
    let refusal = ApiError::new(Code::NotFound, message);
    ApiError { status: StatusCode::METHOD_NOT_ALLOWED, ..refusal }
}
