//! Adapters of a key: what there is, what each version was taught, and going back.

use super::body::Incoming;
use super::duels::{Id, named};
use crate::app::App;
use crate::chat::ClientRequest;
use crate::error::ApiError;
use crate::headers::DIGEST;
use crate::keys::Caller;
use crate::settings::Role;
use crate::wire::adapter::{
    AdapterDeleted, AdapterList, AdapterVersionList, ExportQuery, OwnerQuery, RevertBody,
};
use crate::wire::error::Code;
use crate::wire::responses::LearningErrors;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use trimtab_adapters::host::{AdapterKey, AdapterSummary, Reverted};

/// What a file of an adapter is sent as.
const BYTES: &str = "application/octet-stream";

/// Whose adapters are asked for.
type Owner = Result<Query<OwnerQuery>, QueryRejection>;

/// The label under which a request's adapters are.
fn owner(caller: &Caller, named: Option<String>) -> Result<String, ApiError> {
    match named {
        None => Ok(caller.label.as_ref().to_owned()),
        Some(named) if *named == *caller.label || caller.role == Role::Admin => Ok(named),
        Some(_) => {
            let message = "owner is another key's label, which takes the key of an administrator";
            Err(ApiError::new(Code::AdminRequired, message).at("owner"))
        }
    }
}

fn key(asker: &ClientRequest, id: Id, query: Owner) -> Result<AdapterKey, ApiError> {
    let Query(OwnerQuery { owner }) = query?;
    key_of(asker, named(id, Code::AdapterNotFound)?, owner)
}

fn key_of(
    asker: &ClientRequest,
    id: String,
    named: Option<String>,
) -> Result<AdapterKey, ApiError> {
    AdapterKey::new(owner(&asker.caller, named)?, id).map_err(|error| {
        // A name that no adapter can have is not there.
        ApiError::new(Code::AdapterNotFound, error.to_string()).at("id")
    })
}

/// Lists the adapters of a key
#[utoipa::path(
    get, path = "/v1/adapters", tag = "learning",
    params(OwnerQuery),
    responses((status = 200, description = "The adapters", body = AdapterList), LearningErrors),
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    query: Owner,
    asker: ClientRequest,
) -> Result<Json<AdapterList>, ApiError> {
    let Query(OwnerQuery { owner: named }) = query?;
    let owner = owner(&asker.caller, named)?;
    let data = app.learning().await?.host.adapters(&owner).await?;
    Ok(Json(AdapterList { object: "list", data }))
}

/// Describes an adapter of the key
#[utoipa::path(
    get, path = "/v1/adapters/{id}", tag = "learning",
    params(("id" = String, Path, description = "Its name"), OwnerQuery),
    responses((status = 200, description = "The adapter", body = AdapterSummary), LearningErrors),
)]
pub(crate) async fn describe(
    State(app): State<Arc<App>>,
    id: Id,
    query: Owner,
    asker: ClientRequest,
) -> Result<Json<AdapterSummary>, ApiError> {
    let key = key(&asker, id, query)?;
    Ok(Json(app.learning().await?.host.adapter(&key).await?))
}

/// Lists the versions of an adapter, with what taught each
#[utoipa::path(
    get, path = "/v1/adapters/{id}/versions", tag = "learning",
    params(("id" = String, Path, description = "Its name"), OwnerQuery),
    responses((status = 200, description = "The versions", body = AdapterVersionList), LearningErrors),
)]
pub(crate) async fn versions(
    State(app): State<Arc<App>>,
    id: Id,
    query: Owner,
    asker: ClientRequest,
) -> Result<Json<AdapterVersionList>, ApiError> {
    let key = key(&asker, id, query)?;
    let data = app.learning().await?.host.versions(&key).await?;
    Ok(Json(AdapterVersionList { object: "list", data }))
}

/// Makes a new version that equals an older one
#[utoipa::path(
    post, path = "/v1/adapters/{id}/revert", tag = "learning", request_body = RevertBody,
    params(("id" = String, Path, description = "Its name"), OwnerQuery),
    responses((status = 200, description = "The new version", body = Reverted), LearningErrors),
)]
pub(crate) async fn revert(
    State(app): State<Arc<App>>,
    id: Id,
    query: Owner,
    asker: ClientRequest,
    body: Incoming,
) -> Result<Json<Reverted>, ApiError> {
    let key = key(&asker, id, query)?;
    let RevertBody { to } = body.json(|_, body| Ok(body)).await?;
    let reverted = app.learning().await?.host.revert(&key, to).await;
    Ok(Json(reverted.map_err(|error| ApiError::of_learning(error).about("to"))?))
}

/// Gives a version as a file
#[utoipa::path(
    get, path = "/v1/adapters/{id}/export", tag = "learning",
    params(("id" = String, Path, description = "Its name"), ExportQuery),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "application/octet-stream"),
        LearningErrors,
    ),
)]
pub(crate) async fn export(
    State(app): State<Arc<App>>,
    id: Id,
    query: Result<Query<ExportQuery>, QueryRejection>,
    asker: ClientRequest,
) -> Result<Response, ApiError> {
    let Query(ExportQuery { owner, version }) = query?;
    let key = key_of(&asker, named(id, Code::AdapterNotFound)?, owner)?;
    let exported = app.learning().await?.host.export(&key, version).await?;
    let digest = HeaderValue::from_str(&exported.sha256).map_err(|e| ApiError::failed(&e))?;
    let headers = [(CONTENT_TYPE, HeaderValue::from_static(BYTES)), (DIGEST, digest)];
    Ok((headers, exported.bytes).into_response())
}

/// Publishes the version of a file
#[utoipa::path(
    post, path = "/v1/adapters/{id}/import", tag = "learning",
    params(("id" = String, Path, description = "Its name"), OwnerQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, description = "It is published", body = AdapterSummary), LearningErrors),
)]
pub(crate) async fn import(
    State(app): State<Arc<App>>,
    id: Id,
    query: Owner,
    asker: ClientRequest,
    body: Incoming,
) -> Result<(StatusCode, Json<AdapterSummary>), ApiError> {
    let key = key(&asker, id, query)?;
    let file = body.raw(app.steering.upload_limit(), |_, bytes| Ok(bytes)).await?;
    let imported = app.learning().await?.host.import(&key, &file).await;
    Ok((StatusCode::CREATED, Json(imported.map_err(ApiError::of_learning)?)))
}

/// Deletes an adapter with everything that was kept for it
#[utoipa::path(
    delete, path = "/v1/adapters/{id}", tag = "learning",
    params(("id" = String, Path, description = "Its name"), OwnerQuery),
    responses((status = 200, description = "It is gone", body = AdapterDeleted), LearningErrors),
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    id: Id,
    query: Owner,
    asker: ClientRequest,
) -> Result<Json<AdapterDeleted>, ApiError> {
    let key = key(&asker, id, query)?;
    let learning = app.learning().await?;
    // A trace that is still being written would come back behind the deletion.
    learning.keep.flush().await;
    learning.host.delete(&key).await?;
    Ok(Json(AdapterDeleted { id: key.id().to_owned(), object: "adapter", deleted: true }))
}
