//! The routes that generate.

use super::body::Incoming;
use crate::app::App;
use crate::chat::{self, ClientRequest, GenerateJob};
use crate::error::ApiError;
use crate::wire::chat::{ChatRequest, ChatResponse};
use crate::wire::completion::{CompletionRequest, CompletionResponse};
use crate::wire::responses::GenerationErrors;
use crate::wire::sampling::{GenerationBody, GenerationFields};
use axum::extract::State;
use axum::response::Response;
use serde::de::DeserializeOwned;
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
    asker: ClientRequest,
    body: Incoming,
) -> Result<Response, ApiError> {
    generate(app, asker, body, chat::chat).await
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
    asker: ClientRequest,
    body: Incoming,
) -> Result<Response, ApiError> {
    generate(app, asker, body, chat::completion).await
}

async fn generate<B: DeserializeOwned + GenerationBody + 'static>(
    app: Arc<App>,
    asker: ClientRequest,
    body: Incoming,
    understand: fn(&App, B, GenerationFields) -> Result<GenerateJob, ApiError>,
) -> Result<Response, ApiError> {
    let visit = asker.visit.clone();
    let work = move |app: &App, mut body: B| {
        let fields = body.shared();
        fields.user.iter().for_each(|user| visit.user(user));
        let job = understand(app, body, fields)?;
        let generations = job.generations(app)?;
        Ok((job, generations))
    };
    let (job, generations) = body.json(work).await?;
    chat::answer(app, asker, job, generations).await
}
