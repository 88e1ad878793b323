//! Which pages in browsers may use the server.

use crate::headers::{IGNORED, REQUEST_ID, SEED, WARNING};
use crate::settings::Settings;
use axum::extract::Request;
use axum::http::Method;
use axum::http::header::{
    ACCESS_CONTROL_REQUEST_HEADERS, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
};
use axum::middleware::Next;
use axum::response::Response;
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};

/// The official JavaScript client sends many headers that begin so.
const STAINLESS: &str = "x-stainless-";

/// The rules of the settings; none without an origin.
pub(crate) fn layer(settings: &Settings) -> Option<CorsLayer> {
    let origins = &settings.cors_origins;
    if origins.is_empty() {
        return None;
    }
    let allowed = match origins.iter().any(|origin| origin == "*") {
        true => AllowOrigin::from(Any),
        false => {
            let values = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
            AllowOrigin::list(values)
        }
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([REQUEST_ID, IGNORED, WARNING, SEED, RETRY_AFTER]);
    Some(layer)
}

fn is_allowed(header: &str) -> bool {
    let header = header.to_ascii_lowercase();
    let plain = [AUTHORIZATION, CONTENT_TYPE, REQUEST_ID];
    plain.iter().any(|name| name.as_str() == header) || header.starts_with(STAINLESS)
}

/// Leaves of the headers that a page wants to send those it may: the layer behind this one allows what it sees.
pub(crate) async fn narrow(mut request: Request, next: Next) -> Response {
    if let Some(asked) = request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS) {
        let names = asked.to_str().unwrap_or_default().split(',').map(str::trim);
        let allowed: Vec<&str> = names.filter(|name| is_allowed(name)).collect();
        match HeaderValue::from_str(&allowed.join(",")) {
            Ok(value) => request.headers_mut().insert(ACCESS_CONTROL_REQUEST_HEADERS, value),
            Err(_) => request.headers_mut().remove(ACCESS_CONTROL_REQUEST_HEADERS),
        };
    }
    next.run(request).await
}
