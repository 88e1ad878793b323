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
        422 => "A vector or an adapter for another model",
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

/// The errors of routes of one kind.
macro_rules! errors {
    ($($(#[$meta:meta])* $name:ident: $statuses:expr;)*) => {$(
        $(#[$meta])*
        pub(crate) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                errors(&$statuses)
            }
        }
    )*};
}

errors! {
    /// Errors of routes that run the model.
    GenerationErrors: [400, 401, 403, 404, 413, 415, 422, 429, 500, 503, 504];
    /// Errors of routes of adapters and what they learn.
    LearningErrors: [400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503, 504];
    /// Errors of routes that turn text into something.
    TextErrors: [400, 401, 413, 415, 429, 500, 504];
    /// Errors of routes for administrators.
    AdminErrors: [400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 504];
    /// Errors of routes that need a key.
    UserErrors: [401, 500];
    /// Errors of routes that name a model.
    ModelErrors: [401, 404, 500];
}
