//! An answer as a stream of events: the pieces as they come, and comments that break a silence.

use super::Job;
use super::assembler::Assembler;
use super::update::ChoiceUpdate;
use super::write::Writer;
use crate::error::ApiError;
use crate::settings::Settings;
use crate::sse::KEEP_ALIVE;
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Response};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_stream::Stream;

/// Proxies that collect a response before they hand it on are asked not to.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A request's pieces as events. Dropped, it takes its interest in the job with it, which ends.
pub(crate) struct Sse {
    job: Job,
    unfold: Assembler,
    writer: Writer,
    /// What is written and not sent.
    ready: String,
    keep_alive: Duration,
    silence: Pin<Box<Sleep>>,
}

impl Sse {
    /// Waits a while for the first word of the engine: what fails before it is an ordinary error with its status. A stream
    /// that still waits for a place by then begins with a comment, because clients and proxies give up on
    /// connections that are silent; what fails from there on is an error in it.
    pub(crate) async fn begin(
        mut job: Job,
        mut unfold: Assembler,
        writer: Writer,
        settings: &Settings,
    ) -> Result<Sse, ApiError> {
        let keep_alive = settings.keep_alive;
        let silence = Box::pin(sleep(keep_alive));
        let mut ready = String::new();
        match timeout(settings.first_word, job.notices.recv()).await {
            Err(_) => ready.push_str(KEEP_ALIVE),
            Ok(told) => {
                for update in unfold.hear(told) {
                    match update {
                        ChoiceUpdate::Failed(refusal) => return Err(refusal),
                        update => writer.write(update, &mut ready),
                    }
                }
            }
        }
        Ok(Sse { job, unfold, writer, ready, keep_alive, silence })
    }

    /// Writes what the engine has told since.
    fn listen(&mut self, context: &mut Context) {
        while !self.unfold.is_done() {
            let Poll::Ready(told) = self.job.notices.poll_recv(context) else { return };
            let updates = self.unfold.hear(told);
            updates.into_iter().for_each(|update| self.writer.write(update, &mut self.ready));
        }
    }
}

impl Stream for Sse {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.listen(context);
        let next = Instant::now() + this.keep_alive;
        if !this.ready.is_empty() {
            this.silence.as_mut().reset(next);
            return Poll::Ready(Some(Ok(std::mem::take(&mut this.ready).into())));
        }
        if this.unfold.is_done() {
            return Poll::Ready(None);
        }
        match this.silence.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                this.silence.as_mut().reset(next);
                Poll::Ready(Some(Ok(Bytes::from_static(KEEP_ALIVE.as_bytes()))))
            }
        }
    }
}

impl IntoResponse for Sse {
    fn into_response(self) -> Response {
        let headers =
            [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache"), (BUFFERING, "no")];
        (headers, Body::from_stream(self)).into_response()
    }
}
