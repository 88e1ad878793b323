//! The document at `/openapi.json`: made of the routes and the wire's types, so that it cannot fall behind them.

use super::models;
use crate::wire::chat::ChatChunk;
use crate::wire::error::ErrorBody;
use axum::Json;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(title = "trimtab", description = "A chat server whose answers can be steered."),
    paths(models::one),
    components(schemas(ErrorBody, ChatChunk)),
    security(("bearer" = [])),
    modifiers(&Bearer),
)]
struct Document;

/// Keys come as bearer tokens.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = document.components.get_or_insert_with(Default::default);
        components.security_schemes.insert("bearer".to_owned(), scheme.into());
    }
}

#[utoipa::path(
    get, path = "/openapi.json", tag = "about", security(()),
    responses((status = 200, description = "The document", body = Object)),
)]
pub(crate) async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    let routes = super::open().merge(super::user()).merge(super::admin());
    Json(Document::openapi().merge_from(routes.into_openapi()))
}
