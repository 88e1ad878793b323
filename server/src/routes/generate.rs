//! The routes that generate.

use super::body::Incoming;
use crate::adapt::admit;
use crate::app::App;
use crate::chat::{self, Admitted, ClientRequest, GenerateJob, Made};
use crate::error::ApiError;
use crate::wire::adapt::Adapt;
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

/// A body that has been understood, or one whose adapter is to be found first.
enum Read<B> {
    Made(Box<(GenerateJob, Made)>),
    Names(Box<(B, GenerationFields, Adapt)>),
}

async fn generate<B: DeserializeOwned + GenerationBody + Send + 'static>(
    app: Arc<App>,
    asker: ClientRequest,
    body: Incoming,
    understand: fn(&App, B, Admitted) -> Result<GenerateJob, ApiError>,
) -> Result<Response, ApiError> {
    let visit = asker.visit.clone();
    let work = move |app: &App, mut body: B| {
        let fields = body.shared();
        fields.user.iter().for_each(|user| visit.user(user));
        match adapt(app, &fields)? {
            Some(adapt) => Ok(Read::Names(Box::new((body, fields, adapt)))),
            None => {
                let job = understand(app, body, (fields, None))?;
                let made = job.generations(app)?;
                Ok(Read::Made(Box::new((job, made))))
            }
        }
    };
    let (read, turns) = body.json_in_turns(work).await?;
    let (job, made) = match read {
        Read::Made(both) => *both,
        Read::Names(all) => {
            let (body, fields, named) = *all;
            // An answer holds the version that is there now, whatever is learnt before it begins.
            let adapted = admit(&app, &asker.caller.label, &named).await?;
            let work = move |app: &App| {
                let job = understand(app, body, (fields, Some(adapted)))?;
                let made = job.generations(app)?;
                Ok((job, made))
            };
            turns.run(work).await?
        }
    };
    chat::answer(app, asker, job, made).await
}

/// The adapter that a request names, once everything else that its steering object says is known to be possible: a request
/// that is refused makes no adapter.
pub(super) fn adapt(app: &App, fields: &GenerationFields) -> Result<Option<Adapt>, ApiError> {
    let steering = fields.steering.as_ref();
    let Some(adapt) = steering.and_then(|steering| steering.adapt.clone()) else {
        return Ok(None);
    };
    let preset = chat::served(app, &fields.model)?;
    app.steering.now().resolve(steering, preset.as_deref(), None)?;
    Ok(Some(adapt))
}
