//! What the server says of itself.

use crate::app::App;
use crate::error::{ApiError, SUCCESSOR_S};
use crate::metrics::Now;
use crate::wire::health::{Health, VersionBody};
use crate::wire::responses::UserErrors;
use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Versions of the interface, of vector files and of receipts.
const API: u32 = 1;
const VECTOR_SPEC: u32 = 1;
const RECEIPT_SPEC: u32 = 1;
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether requests are taken
#[utoipa::path(
    get, path = "/health", tag = "about", security(()),
    responses(
        (status = 200, description = "They are", body = Health),
        (status = 503, description = "The server is being shut down", body = Health),
    ),
)]
pub(crate) async fn health(State(app): State<Arc<App>>) -> Response {
    if app.engine.is_draining() {
        let body = Json(Health { status: "draining" });
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            [(RETRY_AFTER, HeaderValue::from(SUCCESSOR_S))],
            body,
        )
            .into_response();
    }
    Json(Health { status: "ok" }).into_response()
}

/// What this build is
#[utoipa::path(
    get, path = "/version", tag = "about", security(()),
    responses((status = 200, description = "Its version", body = VersionBody)),
)]
pub(crate) async fn version(State(app): State<Arc<App>>) -> Json<VersionBody> {
    let build = &app.settings.build;
    Json(VersionBody {
        name: "trimtab",
        version: build.version.clone(),
        git: build.git.clone(),
        tensors: build.tensors.clone(),
        features: build.features.clone(),
        api: API,
        vector_spec: VECTOR_SPEC,
        receipt_spec: RECEIPT_SPEC,
    })
}

#[utoipa::path(
    get, path = "/metrics", tag = "about",
    responses(
        (status = 200, description = "Metrics as text", body = String,
            content_type = "application/openmetrics-text"),
        UserErrors,
    ),
)]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let now = Now {
        load: app.engine.load(),
        vectors: app.steering.vector_count(),
        learning: app.learner.load(),
        ready: i64::from(!app.engine.is_draining()),
    };
    let text = app.metrics.text(&now).map_err(|error| ApiError::failed(&error))?;
    Ok(([(CONTENT_TYPE, OPENMETRICS)], text).into_response())
}
