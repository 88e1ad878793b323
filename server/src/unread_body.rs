//! The rest of a request body that no handler reads, because the request is refused before.
//!
//! hyper closes a connection whose client is still sending, and such a client gets a broken pipe in the place of its
//! answer. So the rest is read and thrown away beside the answer, within limits. A client that asked to be told whether to
//! send at all (`expect: 100-continue`) has its answer, and nothing is read.

use crate::app::App;
use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::header::EXPECT;
use axum::middleware::Next;
use axum::response::Response;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio_stream::{Stream, StreamExt};

/// So many times the limit of a body are thrown away, and then the connection is closed.
const PATIENCE: usize = 8;

/// A body that is lent to the handler.
#[derive(Clone)]
struct Lent(Arc<Mutex<Loan>>);

struct Loan {
    /// Gone when it has been read to its end.
    body: Option<BodyDataStream>,
    stage: Stage,
}

/// Whether anything was read of a body, on which hyper has its client send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Untouched,
    Begun,
}

impl Lent {
    fn new(body: Body) -> Lent {
        let body = Some(body.into_data_stream());
        Lent(Arc::new(Mutex::new(Loan { body, stage: Stage::Untouched })))
    }

    fn loan(&self) -> MutexGuard<'_, Loan> {
        // A body that panicked is not read on.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream for Lent {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context) -> Poll<Option<Self::Item>> {
        let mut loan = self.loan();
        loan.stage = Stage::Begun;
        let Some(body) = &mut loan.body else { return Poll::Ready(None) };
        let next = Pin::new(body).poll_next(context);
        if matches!(next, Poll::Ready(None | Some(Err(_)))) {
            loan.body = None;
        }
        next
    }
}

/// Lends a request's body out, and sees to what comes back of it.
pub(crate) async fn drain(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    // What is uploaded may be longer than any other body.
    let upload = if request.method() == Method::PUT { app.steering.upload_limit() } else { 0 };
    let asks = request.headers().contains_key(EXPECT);
    let (parts, body) = request.into_parts();
    let lent = Lent::new(body);
    let request = Request::from_parts(parts, Body::from_stream(lent.clone()));
    let response = next.run(request).await;
    let (left, stage) = {
        let mut loan = lent.loan();
        (loan.body.take(), loan.stage)
    };
    let left = left.filter(|_| !(asks && stage == Stage::Untouched));
    if let Some(body) = left {
        let most = app.settings.max_body.saturating_mul(PATIENCE).max(upload);
        let within = app.settings.body_timeout;
        // Beside the answer, which is not held up.
        tokio::spawn(async move { tokio::time::timeout(within, thrown_away(body, most)).await });
    }
    response
}

async fn thrown_away(mut body: BodyDataStream, most: usize) {
    let mut length = 0_usize;
    while let Some(Ok(chunk)) = body.next().await {
        length = length.saturating_add(chunk.len());
        if length > most {
            return;
        }
    }
}
