//! The routes, called as the router calls them: statuses and bodies.

use super::{TWO, adding, server};
use crate::refusal::Refusal;
use crate::steer::routes::{self, Desk};
use crate::wire::error::Code;
use crate::wire::vector::{UploadQuery, VectorObject};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use std::future::Future;
use std::sync::Arc;

fn desk() -> State<Desk> {
    State(Desk { steering: Arc::new(server()) })
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap().block_on(work)
}

fn body(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn id(text: &str) -> Result<Path<String>, PathRejection> {
    Ok(Path(text.to_owned()))
}

/// An upload with what stands behind the question mark.
fn upload(
    desk: &State<Desk>,
    name: &str,
    query: &str,
    bytes: Vec<u8>,
) -> Result<(StatusCode, Json<VectorObject>), Refusal> {
    let uri = format!("/v1/steering/vectors/{name}?{query}").parse().unwrap();
    let query = Query::<UploadQuery>::try_from_uri(&uri);
    run(routes::upload(desk.clone(), id(name), query, bytes.into()))
}

#[test]
fn an_upload_is_201_and_again_200() {
    let desk = desk();
    let bytes = adding(&TWO);
    assert_eq!(upload(&desk, "new", "", bytes.clone()).unwrap().0, StatusCode::CREATED);
    let (status, Json(object)) = upload(&desk, "new", "allow_null=true", bytes).unwrap();
    assert_eq!((status, object.header), (StatusCode::OK, None));
    let Json(described) = run(routes::describe(desk.clone(), id("new"))).unwrap();
    assert_eq!(described.header.unwrap()["name"], "calm");
    let refusal = upload(&desk, "other", "accept=1", adding(&TWO)).unwrap_err();
    assert_eq!(refusal.code, Code::InvalidValue);
    assert!(refusal.message.contains("accept"), "{}", refusal.message);
    let Json(deleted) = run(routes::delete(desk.clone(), id("new"))).unwrap();
    assert_eq!(
        serde_json::to_value(deleted).unwrap(),
        serde_json::json!({"id": "new", "object": "steering.vector", "deleted": true})
    );
    let refusal = run(routes::delete(desk, id("new"))).unwrap_err();
    assert_eq!(refusal.status, StatusCode::NOT_FOUND);
}

#[test]
fn the_document_knows_every_route() {
    #[derive(utoipa::OpenApi)]
    #[openapi(paths(
        routes::settings,
        routes::put_settings,
        routes::check,
        routes::list,
        routes::describe,
        routes::upload,
        routes::load,
        routes::delete,
    ))]
    struct Document;
    let document = serde_json::to_value(<Document as utoipa::OpenApi>::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let calls: usize = paths.values().map(|at| at.as_object().unwrap().len()).sum();
    assert_eq!((paths.len(), calls), (4, 8));
    let schemas = &document["components"]["schemas"];
    for name in ["Steering", "Vector", "Apply", "Gate", "Inline", "VectorObject"] {
        assert!(schemas[name].is_object(), "{name}");
    }
    assert_eq!(schemas["VectorObject"]["properties"]["template_match"]["type"], "boolean");
}

#[test]
fn settings_are_read_changed_and_in_conflict() {
    let desk = desk();
    let Json(found) = run(routes::settings(desk.clone()));
    assert_eq!(
        serde_json::to_value(found).unwrap(),
        serde_json::json!({"version": 0, "default": null, "locked": false, "presets": {},
            "limits": {"dose": 1.0, "vectors": 8}})
    );
    let put = r#"{"expected_version":0,"presets":{"house":{"vectors":[{"id":"calm"}]}}}"#;
    let Json(changed) = run(routes::put_settings(desk.clone(), body(put))).unwrap();
    assert_eq!((changed.version, changed.presets.len()), (1, 1));
    let refusal = run(routes::put_settings(desk.clone(), body(put))).unwrap_err();
    assert_eq!((refusal.status, refusal.code), (StatusCode::CONFLICT, Code::VersionConflict));
    let refusal = run(routes::put_settings(desk, body(r#"{"version":1}"#))).unwrap_err();
    assert_eq!(refusal.code, Code::UnknownField);
}

#[test]
fn a_check_and_a_load_read_their_bodies() {
    let desk = desk();
    let text = r#"{"steering":{"vectors":[{"id":"calm","scale":0.5}]}}"#;
    let Json(checked) = run(routes::check(desk.clone(), body(text))).unwrap();
    assert!((checked.dose["resid_post.0"] - 0.1).abs() < 1e-6);
    let refusal = run(routes::check(desk.clone(), body("{"))).unwrap_err();
    assert_eq!(refusal.code, Code::InvalidJson);
    let text = r#"{"id":"x","source":"file:x"}"#;
    let refusal = run(routes::load(desk.clone(), body(text))).unwrap_err();
    assert_eq!((refusal.status, refusal.code), (StatusCode::FORBIDDEN, Code::SourceDisabled));
    assert_eq!(run(routes::list(desk)).0.data.len(), 9);
}
