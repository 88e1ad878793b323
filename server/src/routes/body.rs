//! Reading bodies within their limits, and working on them where nobody waits.

use crate::app::App;
use crate::chat::Asker;
use crate::keys::Caller;
use crate::refusal::{Refusal, Retry};
use crate::visit::Visit;
use crate::wire;
use crate::wire::error::Code;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::StreamExt;

/// Who asks. The layers around the routes have put it into the request.
pub(super) fn asker(request: &Request) -> Result<Asker, Refusal> {
    let extensions = request.extensions();
    let caller = extensions.get::<Caller>().cloned();
    let visit = extensions.get::<Arc<Visit>>().cloned();
    match (caller, visit) {
        (Some(caller), Some(visit)) => Ok(Asker { caller, visit }),
        _ => Err(Refusal::failed(&"route is not behind its layers")),
    }
}

/// Reads a body and works on what it says, away from the threads that serve everybody: to render, tokenise and check a
/// long conversation takes a while. It takes its turn among all that do so.
pub(super) async fn with_body<T, B>(
    app: &Arc<App>,
    request: Request,
    work: impl FnOnce(&App, B) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal>
where
    T: Send + 'static,
    B: DeserializeOwned,
{
    is_json(request.headers())?;
    let visit = asker(&request)?.visit;
    let mut held = app.preparation.hold();
    let bytes = came(app, request, app.settings.max_body, |length| held.grow(length)).await?;
    let late = Instant::from_std(visit.since + app.settings.timeout);
    let turn = timeout_at(late, app.preparation.turn(bytes.len())).await;
    let turn = turn.unwrap_or_else(|_| Err(trimtab_runtime::Error::Deadline.into()))?;
    let span = visit.span().clone();
    let app = app.clone();
    let done = turn.run(move || {
        let (_entered, _held) = (span.enter(), held);
        if app.settings.log_content.is_on() {
            // As one quoted text: a line break in it must not look like a line of this log.
            tracing::info!(body = ?String::from_utf8_lossy(&bytes), "asked");
        }
        work(&app, wire::read(&bytes)?)
    });
    done.await.unwrap_or_else(|error| Err(Refusal::failed(&error)))
}

/// Reads a body of at most so many bytes and works on it, away from the threads that serve everybody.
pub(super) async fn raw<T: Send + 'static>(
    app: &Arc<App>,
    request: Request,
    most: usize,
    work: impl FnOnce(&App, Vec<u8>) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let span = asker(&request)?.visit.span().clone();
    let bytes = came(app, request, most, |_| Ok(())).await?;
    let app = app.clone();
    let done = tokio::task::spawn_blocking(move || span.in_scope(|| work(&app, bytes)));
    done.await.unwrap_or_else(|error| Err(Refusal::failed(&error)))
}

/// A body of at most so many bytes, once it has come whole. `grows` hears of its length and may end it.
async fn came(
    app: &App,
    request: Request,
    most: usize,
    grows: impl FnMut(usize) -> Result<(), Refusal>,
) -> Result<Vec<u8>, Refusal> {
    let visit = asker(&request)?.visit;
    let said = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if said.and_then(|said| said.parse::<u64>().ok()).is_some_and(|said| said > most as u64) {
        return Err(too_large(most));
    }
    let limit = app.settings.body_timeout;
    let read = timeout(limit, bytes(request.into_body(), most, grows));
    let bytes = read.await.map_err(|_| {
        let message = format!("body did not come within {} s", limit.as_secs_f64());
        // Nothing was done yet, and the next try may be faster.
        let should_retry = Retry::ByStatus;
        Refusal { should_retry, ..Refusal::new(Code::DeadlineExceeded, message) }
    })??;
    visit.has_come();
    Ok(bytes)
}

fn too_large(most: usize) -> Refusal {
    Refusal::new(Code::BodyTooLarge, format!("body is longer than {most} bytes"))
}

fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = value.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = format!("content-type is {kind:?}, expected application/json");
    Err(Refusal::new(Code::UnsupportedMediaType, message))
}

async fn bytes(
    body: Body,
    most: usize,
    mut grows: impl FnMut(usize) -> Result<(), Refusal>,
) -> Result<Vec<u8>, Refusal> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        // Nobody reads this: the client is gone.
        let chunk = chunk
            .map_err(|error| Refusal::new(Code::InvalidJson, format!("body broke off: {error}")))?;
        let length = bytes.len().saturating_add(chunk.len());
        if length > most {
            return Err(too_large(most));
        }
        grows(length)?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
