//! Steering: what is in force, which vectors there are, and what administrators change about it.
//!
//! Every change is noted with who made it.

use super::body::Incoming;
use crate::app::App;
use crate::chat::ClientRequest;
use crate::error::ApiError;
use crate::steer::Registered;
use crate::wire::audit::{AuditEntry, AuditList, AuditQuery};
use crate::wire::error::Code;
use crate::wire::responses::{AdminErrors, GenerationErrors, ModelErrors, UserErrors};
use crate::wire::vector::{
    Check, Checked, LoadVector, PutSteering, SteeringObject, UploadQuery, VectorDeleted,
    VectorList, VectorObject,
};
use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use std::sync::Arc;

/// Interventions that are listed: unless the request says how many, and at most.
const USUAL_AUDITS: u32 = 100;
const MOST_AUDITS: u32 = 1000;

/// Answer of a route that may make something.
type Made = Result<(StatusCode, Json<VectorObject>), ApiError>;

/// A name in the path.
type Id = Result<Path<String>, PathRejection>;

fn named(id: Id) -> Result<String, ApiError> {
    let unreadable = |_| ApiError::new(Code::VectorNotFound, "id is no text").at("id");
    id.map(|Path(id)| id).map_err(unreadable)
}

/// What is in force
#[utoipa::path(
    get, path = "/v1/steering", tag = "steering",
    responses((status = 200, description = "What is in force", body = SteeringObject), UserErrors),
)]
pub(crate) async fn settings(State(app): State<Arc<App>>) -> Json<SteeringObject> {
    Json(app.steering.settings())
}

/// Replaces presets and the server default
#[utoipa::path(
    put, path = "/v1/steering", tag = "steering", request_body = PutSteering,
    responses((status = 200, description = "What is in force", body = SteeringObject), AdminErrors),
)]
pub(crate) async fn put_settings(
    State(app): State<Arc<App>>,
    asker: ClientRequest,
    body: Incoming,
) -> Result<Json<SteeringObject>, ApiError> {
    let work = |app: &App, put: PutSteering| app.steering.put_settings(put);
    let object = body.json(work).await?;
    audit(&app, &asker, "steering.put", &object.version.to_string()).await?;
    Ok(Json(object))
}

/// What monitors found in answers and took back
#[utoipa::path(
    get, path = "/v1/steering/audit", tag = "steering",
    params(
        ("since" = Option<i64>, Query, description = "Milliseconds since 1970 of the oldest"),
        ("limit" = Option<u32>, Query, description = "How many, the newest, at most 1000"),
    ),
    responses((status = 200, description = "Interventions, newest first", body = AuditList), AdminErrors),
)]
pub(crate) async fn audits(
    State(app): State<Arc<App>>,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Json<AuditList>, ApiError> {
    let Query(AuditQuery { since, limit }) = query?;
    let limit = limit.unwrap_or(USUAL_AUDITS);
    if !(1..=MOST_AUDITS).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("is {limit}, not 1 to {MOST_AUDITS}")));
    }
    let rows = app.keep.interventions_since(since.unwrap_or(i64::MIN), limit).await?;
    let data = rows.into_iter().map(AuditEntry::from).collect();
    Ok(Json(AuditList { object: "list".to_owned(), data }))
}

/// Says what a steering object comes to, without a token
#[utoipa::path(
    post, path = "/v1/steering/check", tag = "steering", request_body = Check,
    responses((status = 200, description = "What it comes to", body = Checked), GenerationErrors),
)]
pub(crate) async fn check(body: Incoming) -> Result<Json<Checked>, ApiError> {
    body.json(|app: &App, check: Check| app.steering.check(&check)).await.map(Json)
}

/// Lists the vectors that requests may name
#[utoipa::path(
    get, path = "/v1/steering/vectors", tag = "steering",
    responses((status = 200, description = "The vectors", body = VectorList), UserErrors),
)]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Json<VectorList> {
    Json(app.steering.list())
}

/// Describes a vector, with what its file says
#[utoipa::path(
    get, path = "/v1/steering/vectors/{id}", tag = "steering",
    params(("id" = String, Path, description = "Its name")),
    responses((status = 200, description = "The vector", body = VectorObject), ModelErrors),
)]
pub(crate) async fn describe(
    State(app): State<Arc<App>>,
    id: Id,
) -> Result<Json<VectorObject>, ApiError> {
    app.steering.describe(&named(id)?).map(Json)
}

/// Registers the vector file in the body
#[utoipa::path(
    put, path = "/v1/steering/vectors/{id}", tag = "steering",
    params(
        ("id" = String, Path, description = "Its name"),
        ("accept_model" = Option<String>, Query, description = "The model that is accepted with it"),
        ("allow_null" = Option<bool>, Query, description = "Whether a vector without effect is taken"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "It was registered already", body = VectorObject),
        (status = 201, description = "It is registered", body = VectorObject),
        AdminErrors,
    ),
)]
pub(crate) async fn upload(
    State(app): State<Arc<App>>,
    id: Id,
    query: Result<Query<UploadQuery>, QueryRejection>,
    asker: ClientRequest,
    body: Incoming,
) -> Made {
    let (id, Query(query)) = (named(id)?, query?);
    let name = id.clone();
    let work = move |app: &App, bytes| app.steering.upload(&name, bytes, &query);
    let registered = body.raw(app.steering.upload_limit(), work).await?;
    made(&app, &asker, &id, registered).await
}

/// Registers a vector file that the server finds itself
#[utoipa::path(
    post, path = "/v1/steering/vectors", tag = "steering", request_body = LoadVector,
    responses(
        (status = 200, description = "It was registered already", body = VectorObject),
        (status = 201, description = "It is registered", body = VectorObject),
        AdminErrors,
    ),
)]
pub(crate) async fn load(
    State(app): State<Arc<App>>,
    asker: ClientRequest,
    body: Incoming,
) -> Made {
    let work = |app: &App, load: LoadVector| Ok((load.id.clone(), app.steering.load(&load)?));
    let (id, registered) = body.json(work).await?;
    made(&app, &asker, &id, registered).await
}

/// Forgets a vector that nothing in force names
#[utoipa::path(
    delete, path = "/v1/steering/vectors/{id}", tag = "steering",
    params(("id" = String, Path, description = "Its name")),
    responses((status = 200, description = "It is forgotten", body = VectorDeleted), AdminErrors),
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    id: Id,
    asker: ClientRequest,
) -> Result<Json<VectorDeleted>, ApiError> {
    let id = named(id)?;
    let (name, of) = (id.clone(), app.clone());
    let done = tokio::task::spawn_blocking(move || of.steering.delete(&name));
    done.await.unwrap_or_else(|error| Err(ApiError::failed(&error)))?;
    audit(&app, &asker, "vector.delete", &id).await?;
    Ok(Json(VectorDeleted { id, object: "steering.vector".to_owned(), deleted: true }))
}

async fn made(app: &App, asker: &ClientRequest, id: &str, registered: Registered) -> Made {
    match registered {
        Registered::Created(object) => {
            audit(app, asker, "vector.put", id).await?;
            Ok((StatusCode::CREATED, Json(*object)))
        }
        Registered::Known(object) => Ok((StatusCode::OK, Json(*object))),
    }
}

async fn audit(app: &App, asker: &ClientRequest, what: &str, object: &str) -> Result<(), ApiError> {
    app.keep.audit(&asker.caller.label, what, object).await
}
