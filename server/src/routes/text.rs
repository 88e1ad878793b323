//! Tokens of a text, text of tokens, the prompt of a conversation.

use super::body::with_body;
use crate::app::App;
use crate::chat::{Ignored, conversation, known_ids};
use crate::refusal::Refusal;
use crate::wire::openapi::TextErrors;
use crate::wire::text::{
    DetokenizeRequest, DetokenizeResponse, TemplateRequest, TemplateResponse, TokenizeRequest,
    TokenizeResponse,
};
use crate::wire::union::Rest;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use std::sync::Arc;
use trimtab_runtime::text::{Control, RenderOptions, Special};

/// A response that names what was ignored.
type Told<T> = Result<(HeaderMap, Json<T>), Refusal>;

fn told<T>(rest: &Rest, body: T) -> (HeaderMap, Json<T>) {
    let (mut ignored, mut headers) = (Ignored::default(), HeaderMap::new());
    ignored.note("", rest);
    ignored.tell(&mut headers);
    (headers, Json(body))
}

/// The tokens of a text
#[utoipa::path(
    post, path = "/tokenize", tag = "text", request_body = TokenizeRequest,
    responses((status = 200, description = "Its tokens", body = TokenizeResponse), TextErrors),
)]
pub(crate) async fn tokenize(
    State(app): State<Arc<App>>,
    request: Request,
) -> Told<TokenizeResponse> {
    let work = |app: &App, body: TokenizeRequest| {
        let tokenizer = app.model.tokenizer()?;
        let tokens = tokenizer.encode(&body.content, Special::Plain)?;
        let tokens = match body.add_special {
            Some(true) => tokenizer.with_bos(tokens),
            Some(false) | None => tokens,
        };
        Ok(told(&body.rest, TokenizeResponse { tokens }))
    };
    with_body(&app, request, work).await
}

/// The text of tokens
#[utoipa::path(
    post, path = "/detokenize", tag = "text", request_body = DetokenizeRequest,
    responses((status = 200, description = "Their text", body = DetokenizeResponse), TextErrors),
)]
pub(crate) async fn detokenize(
    State(app): State<Arc<App>>,
    request: Request,
) -> Told<DetokenizeResponse> {
    let work = |app: &App, body: DetokenizeRequest| {
        known_ids(app, &body.tokens, "tokens")?;
        let content = app.model.tokenizer()?.decode(&body.tokens, Control::Show);
        Ok(told(&body.rest, DetokenizeResponse { content }))
    };
    with_body(&app, request, work).await
}

/// The prompt of a conversation
#[utoipa::path(
    post, path = "/apply-template", tag = "text", request_body = TemplateRequest,
    responses((status = 200, description = "The prompt", body = TemplateResponse), TextErrors),
)]
pub(crate) async fn apply_template(
    State(app): State<Arc<App>>,
    request: Request,
) -> Told<TemplateResponse> {
    let work = |app: &App, body: TemplateRequest| {
        let mut ignored = Ignored::default();
        let messages = conversation(&body.messages, &mut ignored)?;
        let rendered = app.model.template()?.render(&messages, &RenderOptions::default());
        let rendered = rendered.map_err(|error| Refusal::from(error).about("messages"))?;
        ignored.note("", &body.rest);
        let mut headers = HeaderMap::new();
        ignored.tell(&mut headers);
        Ok((headers, Json(TemplateResponse { prompt: rendered.text() })))
    };
    with_body(&app, request, work).await
}
