//! The routes that generate.

use super::body::{asker, with_body};
use crate::app::App;
use crate::chat;
use crate::refusal::Refusal;
use crate::wire::chat::{ChatRequest, ChatResponse};
use crate::wire::completion::{CompletionRequest, CompletionResponse};
use crate::wire::responses::GenerationErrors;
use axum::extract::{Request, State};
use axum::response::Response;
use std::sync::Arc;

/// Answers a conversation
///
/// With `stream`, the answer comes as `data:` lines, each a chunk, the last `[DONE]`.
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "generation", request_body = ChatRequest,
    responses(
        (status = 200, description = "The answer", content(
            (ChatResponse = "application/json"), (String = "text/event-stream"))),
        GenerationErrors,
    ),
)]
pub(crate) async fn chat(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Refusal> {
    let asker = asker(&request)?;
    let visit = asker.visit.clone();
    let work = move |app: &App, body: ChatRequest| {
        body.user.iter().for_each(|user| visit.user(user));
        let asked = chat::chat(app, body)?;
        let generations = asked.generations(app)?;
        Ok((asked, generations))
    };
    let (asked, generations) = with_body(&app, request, work).await?;
    chat::answer(app, asker, asked, generations).await
}

/// Continues a text
///
/// With `stream`, the answer comes as `data:` lines, each a chunk, the last `[DONE]`.
#[utoipa::path(
    post, path = "/v1/completions", tag = "generation", request_body = CompletionRequest,
    responses(
        (status = 200, description = "The answer", content(
            (CompletionResponse = "application/json"), (String = "text/event-stream"))),
        GenerationErrors,
    ),
)]
pub(crate) async fn completions(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Refusal> {
    let asker = asker(&request)?;
    let visit = asker.visit.clone();
    let work = move |app: &App, body: CompletionRequest| {
        body.user.iter().for_each(|user| visit.user(user));
        let asked = chat::completion(app, body)?;
        let generations = asked.generations(app)?;
        Ok((asked, generations))
    };
    let (asked, generations) = with_body(&app, request, work).await?;
    chat::answer(app, asker, asked, generations).await
}
