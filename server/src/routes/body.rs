//! Reading bodies within their limits, and working on them apart from the threads that serve connections.

use crate::app::App;
use crate::chat::ClientRequest;
use crate::error::{ApiError, ShouldRetry};
use crate::keys::Caller;
use crate::request_context::RequestContext;
use crate::wire;
use crate::wire::error::Code;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::StreamExt;

/// Who asks. The layers around the routes have put it into the request.
impl FromRequestParts<Arc<App>> for ClientRequest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Caller>().cloned();
        let visit = parts.extensions.get::<Arc<RequestContext>>().cloned();
        match (caller, visit) {
            (Some(caller), Some(visit)) => Ok(ClientRequest { caller, visit }),
            _ => Err(ApiError::failed(&"route is not behind its layers")),
        }
    }
}

/// A request whose body is not read yet.
pub(crate) struct Incoming {
    app: Arc<App>,
    visit: Arc<RequestContext>,
    headers: HeaderMap,
    body: Body,
}

impl FromRequest<Arc<App>> for Incoming {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let visit = ClientRequest::from_request_parts(&mut parts, app).await?.visit;
        Ok(Incoming { app: app.clone(), visit, headers: parts.headers, body })
    }
}

impl Incoming {
    /// Reads the body and works on what it says, apart from the threads that serve connections: to render, tokenise and check
    /// a long conversation takes a while. It takes its turn among all that do so.
    pub(super) async fn json<T, B>(
        self,
        work: impl FnOnce(&App, B) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError>
    where
        T: Send + 'static,
        B: DeserializeOwned,
    {
        Ok(self.json_in_turns(work).await?.0)
    }

    /// As [`json`](Self::json), and how to go on with the same body later.
    pub(super) async fn json_in_turns<T, B>(
        self,
        work: impl FnOnce(&App, B) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<(T, Turns), ApiError>
    where
        T: Send + 'static,
        B: DeserializeOwned,
    {
        is_json(&self.headers)?;
        let (app, visit) = (self.app.clone(), self.visit.clone());
        let mut held = app.preparation.hold();
        let bytes = self.came(app.settings.max_body, |length| held.grow(length)).await?;
        let turns = Turns { app, visit, length: bytes.len() };
        let done = turns.run(move |app| {
            let _held = held;
            if app.settings.log_content.is_on() {
                // As one quoted text: a line break in it must not look like a line of this log.
                tracing::info!(body = ?String::from_utf8_lossy(&bytes), "asked");
            }
            work(app, wire::read(&bytes)?)
        });
        Ok((done.await?, turns))
    }

    /// Reads a body of at most so many bytes and works on it, apart from the threads that serve connections.
    pub(super) async fn raw<T: Send + 'static>(
        self,
        most: usize,
        work: impl FnOnce(&App, Vec<u8>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (app, span) = (self.app.clone(), self.visit.span().clone());
        let bytes = self.came(most, |_| Ok(())).await?;
        let work = move || span.in_scope(|| work(&app, bytes));
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| Err(ApiError::failed(&error)))
    }

    /// The body, once it has come whole, of at most so many bytes. `grows` hears of its length and may end it.
    async fn came(
        self,
        most: usize,
        grows: impl FnMut(usize) -> Result<(), ApiError>,
    ) -> Result<Vec<u8>, ApiError> {
        let said = self.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if said.and_then(|said| said.parse::<u64>().ok()).is_some_and(|said| said > most as u64) {
            return Err(too_large(most));
        }
        let limit = self.app.settings.body_timeout;
        let read = timeout(limit, bytes(self.body, most, grows));
        let bytes = read.await.map_err(|_| {
            let message = format!("body did not come within {} s", limit.as_secs_f64());
            // Nothing was done yet, and the next try may be faster.
            let should_retry = ShouldRetry::ByStatus;
            ApiError { should_retry, ..ApiError::new(Code::DeadlineExceeded, message) }
        })??;
        self.visit.has_come();
        Ok(bytes)
    }
}

/// Work on one body, apart from the threads that serve connections. Each part takes its turn among all that do so.
pub(super) struct Turns {
    app: Arc<App>,
    visit: Arc<RequestContext>,
    /// Bytes of the body.
    length: usize,
}

impl Turns {
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&App) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (app, span) = (self.app.clone(), self.visit.span().clone());
        let late = Instant::from_std(self.visit.since + app.settings.timeout);
        let turn = timeout_at(late, app.preparation.turn(self.length)).await;
        let turn = turn.unwrap_or_else(|_| Err(trimtab_runtime::Error::Deadline.into()))?;
        let done = turn.run(move || span.in_scope(|| work(&app)));
        done.await.unwrap_or_else(|error| Err(ApiError::failed(&error)))
    }
}

fn too_large(most: usize) -> ApiError {
    ApiError::new(Code::BodyTooLarge, format!("body is longer than {most} bytes"))
}

fn is_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = value.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = format!("content-type is {kind:?}, expected application/json");
    Err(ApiError::new(Code::UnsupportedMediaType, message))
}

async fn bytes(
    body: Body,
    most: usize,
    mut grows: impl FnMut(usize) -> Result<(), ApiError>,
) -> Result<Vec<u8>, ApiError> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        // This is not read: the client is gone.
        let chunk = chunk.map_err(|error| {
            ApiError::new(Code::InvalidJson, format!("body broke off: {error}"))
        })?;
        let length = bytes.len().saturating_add(chunk.len());
        if length > most {
            return Err(too_large(most));
        }
        grows(length)?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
