//! The errors of the routes, as `/openapi.json` describes them.

use std::collections::BTreeMap;
use utoipa::IntoResponses;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{Content, Ref, RefOr};

/// What a status of an error says.
fn description(status: u16) -> &'static str {
    match status {
        400 => "The request cannot be done as it is",
        401 => "The key is missing or not known",
        403 => "The key may not do this",
        404 => "There is no such thing",
        409 => "It does not fit what is there",
        413 => "The body is too large",
        415 => "The body is no JSON by its content-type",
        422 => "A vector for another model",
        429 => "Too much at once; try again after the time that retry-after says",
        503 => "The server is being shut down",
        504 => "The request's time is over",
        _ => "The server is at fault",
    }
}

fn errors(statuses: &[u16]) -> BTreeMap<String, RefOr<Response>> {
    let response = |status: &u16| {
        let content = Content::new(Some(Ref::from_schema_name("ErrorBody")));
        let response = ResponseBuilder::new()
            .description(description(*status))
            .content("application/json", content)
            .build();
        (status.to_string(), response.into())
    };
    statuses.iter().map(response).collect()
}

/// Errors of routes that run the model.
pub(crate) struct GenerationErrors;

impl IntoResponses for GenerationErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        errors(&[400, 401, 403, 404, 413, 415, 422, 429, 500, 503, 504])
    }
}

/// Errors of routes that turn text into something.
pub(crate) struct TextErrors;

impl IntoResponses for TextErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        errors(&[400, 401, 413, 415, 429, 500, 504])
    }
}

/// Errors of routes for administrators.
pub(crate) struct AdminErrors;

impl IntoResponses for AdminErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        errors(&[400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 504])
    }
}

/// Errors of routes for whoever has a key.
pub(crate) struct UserErrors;

impl IntoResponses for UserErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        errors(&[401, 500])
    }
}

/// Errors of routes that name a model.
pub(crate) struct ModelErrors;

impl IntoResponses for ModelErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        errors(&[401, 404, 500])
    }
}
