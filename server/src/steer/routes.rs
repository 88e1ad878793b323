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
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use std::sync::Arc;

/// What these routes need of the server.
#[derive(Debug, Clone)]
pub struct Desk {
    /// What requests may be steered by.
    pub steering: Arc<Steering>,
}

/// Answer of a route that may make something.
type Made = Result<(StatusCode, Json<VectorObject>), Refusal>;

/// `GET /v1/steering`
pub async fn settings(State(desk): State<Desk>) -> Json<SteeringObject> {
    Json(desk.steering.settings())
}

/// `PUT /v1/steering`
pub async fn put_settings(
    State(desk): State<Desk>,
    body: Bytes,
) -> Result<Json<SteeringObject>, Refusal> {
    let put: PutSteering = wire::read(&body)?;
    blocking(move || desk.steering.put_settings(put)).await.map(Json)
}

/// `POST /v1/steering/check`
pub async fn check(State(desk): State<Desk>, body: Bytes) -> Result<Json<Checked>, Refusal> {
    let check: Check = wire::read(&body)?;
    blocking(move || desk.steering.check(&check)).await.map(Json)
}

/// `GET /v1/steering/vectors`
pub async fn list(State(desk): State<Desk>) -> Json<VectorList> {
    Json(desk.steering.list())
}

/// `GET /v1/steering/vectors/{id}`
pub async fn describe(
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<VectorObject>, Refusal> {
    desk.steering.describe(&id).map(Json)
}

/// `PUT /v1/steering/vectors/{id}`
pub async fn upload(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    query: Result<Query<UploadQuery>, QueryRejection>,
    body: Bytes,
) -> Made {
    let unreadable = |e: QueryRejection| Refusal::new(Code::InvalidValue, e.body_text());
    let Query(query) = query.map_err(unreadable)?;
    blocking(move || desk.steering.upload(&id, body.into(), &query)).await.map(made)
}

/// `POST /v1/steering/vectors`
pub async fn load(State(desk): State<Desk>, body: Bytes) -> Made {
    let asked: LoadVector = wire::read(&body)?;
    blocking(move || desk.steering.load(&asked)).await.map(made)
}

/// `DELETE /v1/steering/vectors/{id}`
pub async fn delete(
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<VectorDeleted>, Refusal> {
    let name = id.clone();
    blocking(move || desk.steering.delete(&name)).await?;
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
