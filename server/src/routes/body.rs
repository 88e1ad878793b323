//! Reading bodies within their limits, and working on them where nobody waits.

use crate::app::App;
use crate::auth::Caller;
use crate::chat::Asker;
use crate::refusal::Refusal;
use crate::visit::Visit;
use crate::wire;
use crate::wire::error::Code;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio_stream::StreamExt;

/// A body that is too long is read on for so many times its limit, so that the client gets to read why it is refused.
const PATIENCE: usize = 8;

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
/// long conversation takes a while.
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
    let limit = app.settings.body_timeout;
    let read = tokio::time::timeout(limit, bytes(request.into_body(), app.settings.max_body));
    let bytes = read.await.map_err(|_| {
        let message = format!("body did not come within {} s", limit.as_secs_f64());
        Refusal::new(Code::DeadlineExceeded, message)
    })??;
    if app.settings.log_content.is_on() {
        tracing::info!(parent: visit.span(), body = %String::from_utf8_lossy(&bytes), "asked");
    }
    let (app, span) = (app.clone(), visit.span().clone());
    let done =
        tokio::task::spawn_blocking(move || span.in_scope(|| work(&app, wire::read(&bytes)?)));
    done.await.unwrap_or_else(|error| Err(Refusal::failed(&error)))
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

async fn bytes(body: Body, limit: usize) -> Result<Vec<u8>, Refusal> {
    let mut stream = body.into_data_stream();
    let (mut bytes, mut length) = (Vec::new(), 0_usize);
    while let Some(chunk) = stream.next().await {
        // Nobody reads this: the client is gone.
        let chunk = chunk
            .map_err(|error| Refusal::new(Code::InvalidJson, format!("body broke off: {error}")))?;
        length = length.saturating_add(chunk.len());
        if length <= limit {
            bytes.extend_from_slice(&chunk);
        } else if length > limit.saturating_mul(PATIENCE) {
            break;
        }
    }
    if length > limit {
        let message = format!("body is longer than {limit} bytes");
        return Err(Refusal::new(Code::BodyTooLarge, message));
    }
    Ok(bytes)
}
