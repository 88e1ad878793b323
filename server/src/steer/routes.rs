//! The routes of steering. Who may call them is decided around them.
//!
//! Whatever reads a file or stores something runs on a thread that may block.

use super::Steering;
use super::admin::Registered;
use crate::refusal::Refusal;
use crate::wire;
use crate::wire::error::Code;
use crate::wire::flag::Flag;
use crate::wire::vector::{
    Check, Checked, LoadVector, PutSteering, SteeringObject, UploadQuery, VectorDeleted,
    VectorList, VectorObject,
};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use std::sync::Arc;

/// What these routes need of the server.
#[derive(Debug, Clone)]
pub struct Desk {
    /// What requests may be steered by.
    pub steering: Arc<Steering>,
}

/// A vector's name in the path.
type Name = Result<Path<String>, PathRejection>;

fn name(id: Name) -> Result<String, Refusal> {
    let Ok(Path(id)) = id else {
        return Err(Refusal::new(Code::VectorNotFound, "vector's id is not UTF-8").at("id"));
    };
    Ok(id)
}

/// Answer of a route that may make something.
type Made = Result<(StatusCode, Json<VectorObject>), Refusal>;

/// What every answer gets, and what requests can name
#[utoipa::path(
    get, path = "/v1/steering", tag = "steering",
    responses((status = 200, description = "What is in force", body = SteeringObject)),
)]
pub async fn settings(State(desk): State<Desk>) -> Json<SteeringObject> {
    Json(desk.steering.settings())
}

/// Replaces presets and server default
#[utoipa::path(
    put, path = "/v1/steering", tag = "steering",
    request_body = PutSteering,
    responses((status = 200, description = "What is in force from here on", body = SteeringObject)),
)]
pub async fn put_settings(
    State(desk): State<Desk>,
    body: Bytes,
) -> Result<Json<SteeringObject>, Refusal> {
    let put: PutSteering = wire::read(&body)?;
    blocking(move || desk.steering.put_settings(put)).await.map(Json)
}

/// What a steering object would do; makes no token
#[utoipa::path(
    post, path = "/v1/steering/check", tag = "steering",
    request_body = Check,
    responses((status = 200, description = "What it comes to", body = Checked)),
)]
pub async fn check(State(desk): State<Desk>, body: Bytes) -> Result<Json<Checked>, Refusal> {
    let check: Check = wire::read(&body)?;
    blocking(move || desk.steering.check(&check)).await.map(Json)
}

/// All registered vectors
#[utoipa::path(
    get, path = "/v1/steering/vectors", tag = "steering",
    responses((status = 200, description = "By name", body = VectorList)),
)]
pub async fn list(State(desk): State<Desk>) -> Json<VectorList> {
    Json(desk.steering.list())
}

/// One of them, with all that its file says
#[utoipa::path(
    get, path = "/v1/steering/vectors/{id}", tag = "steering",
    params(("id" = String, Path, description = "Its name")),
    responses((status = 200, description = "The vector", body = VectorObject)),
)]
pub async fn describe(State(desk): State<Desk>, id: Name) -> Result<Json<VectorObject>, Refusal> {
    desk.steering.describe(&name(id)?).map(Json)
}

/// Registers a native file
#[utoipa::path(
    put, path = "/v1/steering/vectors/{id}", tag = "steering",
    params(
        ("id" = String, Path, description = "Its name"),
        ("accept_model" = Option<String>, Query, description = "The model the file was made on, if it is another"),
        ("allow_null" = Option<bool>, Query, description = "Whether a vector without effect is taken"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "It is registered", body = VectorObject),
        (status = 200, description = "The same file was registered already", body = VectorObject),
    ),
)]
pub async fn upload(
    State(desk): State<Desk>,
    id: Name,
    query: Result<Query<UploadQuery>, QueryRejection>,
    body: Bytes,
) -> Made {
    let unreadable = |e: QueryRejection| Refusal::new(Code::InvalidValue, e.body_text());
    let (id, Query(query)) = (name(id)?, query.map_err(unreadable)?);
    blocking(move || desk.steering.upload(&id, body.into(), &query)).await.map(made)
}

/// Registers a file that the server finds itself
#[utoipa::path(
    post, path = "/v1/steering/vectors", tag = "steering",
    request_body = LoadVector,
    responses(
        (status = 201, description = "It is registered", body = VectorObject),
        (status = 200, description = "The same file was registered already", body = VectorObject),
    ),
)]
pub async fn load(State(desk): State<Desk>, body: Bytes) -> Made {
    let asked: LoadVector = wire::read(&body)?;
    blocking(move || desk.steering.load(&asked)).await.map(made)
}

/// Forgets a vector that nothing names
#[utoipa::path(
    delete, path = "/v1/steering/vectors/{id}", tag = "steering",
    params(("id" = String, Path, description = "Its name")),
    responses((status = 200, description = "It is gone", body = VectorDeleted)),
)]
pub async fn delete(State(desk): State<Desk>, id: Name) -> Result<Json<VectorDeleted>, Refusal> {
    let id = name(id)?;
    let doomed = id.clone();
    blocking(move || desk.steering.delete(&doomed)).await?;
    Ok(Json(VectorDeleted { id, object: "steering.vector".to_owned(), deleted: Flag::Yes }))
}

fn made(registered: Registered) -> (StatusCode, Json<VectorObject>) {
    match registered {
        Registered::Created(object) => (StatusCode::CREATED, Json(*object)),
        Registered::Known(object) => (StatusCode::OK, Json(*object)),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let lost = |_| Refusal::new(Code::Internal, "the work was not finished; the log says why");
    tokio::task::spawn_blocking(work).await.map_err(lost)?
}
