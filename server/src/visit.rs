//! One request from its arrival to the last byte of its answer: its id, its log line, its numbers.

use crate::app::App;
use crate::headers::REQUEST_ID;
use crate::metrics::{Answered, Metrics};
use crate::presence::{Wait, Waits, Work};
use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tracing::Instrument;
use trimtab_runtime::fingerprint::Fingerprint;

/// Characters of an id that somebody else made.
const LONGEST_ID: usize = 64;

/// A request that is being answered. When the last one who holds it lets go, it is over: it is logged and counted.
pub(crate) struct Visit {
    /// Names it in headers, logs and receipts.
    pub(crate) id: String,
    /// When it came.
    pub(crate) since: Instant,
    route: String,
    status: AtomicU16,
    prompt_tokens: AtomicUsize,
    generated_tokens: AtomicUsize,
    span: tracing::Span,
    metrics: Arc<Metrics>,
    /// What its connection counts who waits with; a request without a connection has none.
    waits: Option<Waits>,
    wait: OnceLock<Wait>,
    /// A request without a body has come whole when it comes.
    _work: Option<Work>,
}

impl Visit {
    fn new(request: &Request, metrics: Arc<Metrics>) -> Visit {
        let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
        let id = given.filter(|id| is_id(id)).map_or_else(made_id, str::to_owned);
        let route = label(request.extensions().get::<MatchedPath>());
        let label = route.as_str();
        let method = request.method().as_str();
        let waits = request.extensions().get::<Waits>().cloned();
        let whole = waits.as_ref().filter(|_| request.body().is_end_stream());
        let empty = tracing::field::Empty;
        let span = tracing::info_span!(
            "request", %id, route = label, method, status = empty, seconds = empty,
            prompt_tokens = empty, generated_tokens = empty, cut = empty, user = empty,
        );
        Visit {
            id,
            since: Instant::now(),
            route,
            status: AtomicU16::new(0),
            prompt_tokens: AtomicUsize::new(0),
            generated_tokens: AtomicUsize::new(0),
            span,
            metrics,
            _work: whole.map(Waits::work),
            waits,
            wait: OnceLock::new(),
        }
    }

    /// The request has come whole: from here on its client only waits, and one that leaves is noticed.
    pub(crate) fn has_come(&self) {
        if let Some(waits) = &self.waits {
            self.wait.get_or_init(|| waits.begin());
        }
    }

    /// Counts a prompt's tokens.
    pub(crate) fn prompt(&self, tokens: usize) {
        self.prompt_tokens.fetch_add(tokens, Ordering::Relaxed);
    }

    /// Counts delivered tokens.
    pub(crate) fn delivered(&self, tokens: usize) {
        self.generated_tokens.fetch_add(tokens, Ordering::Relaxed);
    }

    /// Counts delivered tokens as taken back.
    pub(crate) fn retracted(&self, tokens: usize) {
        self.generated_tokens.fetch_sub(tokens, Ordering::Relaxed);
    }

    /// Notes why an answer ended early, for the log: its status may have left before.
    pub(crate) fn cut(&self, why: &str) {
        self.span.record("cut", why);
    }

    /// Logs what a client calls its user, as a hash.
    pub(crate) fn user(&self, user: &str) {
        let hash = Fingerprint::builder("trimtab.user").text(user).finish().to_string();
        self.span.record("user", hash.get(..12).unwrap_or_default());
    }

    /// Where log lines about it belong.
    pub(crate) fn span(&self) -> &tracing::Span {
        &self.span
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let took: Duration = self.since.elapsed();
        // A client that left before there was an answer got none: the status that proxies log for it.
        let status = match self.status.load(Ordering::Relaxed) {
            0 => 499,
            status => status,
        };
        self.metrics.answered(&Answered { route: std::mem::take(&mut self.route), status }, took);
        self.span.record("status", status);
        self.span.record("seconds", took.as_secs_f64());
        self.span.record("prompt_tokens", self.prompt_tokens.load(Ordering::Relaxed));
        self.span.record("generated_tokens", self.generated_tokens.load(Ordering::Relaxed));
        tracing::info!(parent: &self.span, "answered");
    }
}

/// The route of a request, as metrics and logs call it: a path that a request makes up must not become a label.
fn label(path: Option<&MatchedPath>) -> String {
    path.map_or_else(|| "other".to_owned(), |path| path.as_str().replace("{*", "{"))
}

/// Whether an id may be put into headers and logs.
fn is_id(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(fits)
}

/// A number nobody can guess: each hasher of the standard library is keyed by the system's randomness.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn made_id() -> String {
    format!("req-{:016x}", random())
}

/// Names, times and logs every request.
pub(crate) async fn record(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let visit = Arc::new(Visit::new(&request, app.metrics.clone()));
    request.extensions_mut().insert(visit.clone());
    let mut response = next.run(request).instrument(visit.span.clone()).await;
    visit.status.store(response.status().as_u16(), Ordering::Relaxed);
    if let Ok(id) = HeaderValue::from_str(&visit.id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_or_made() {
        assert!(is_id("req-1_A") && is_id(&made_id()) && is_id(&"x".repeat(64)));
        assert!(!is_id("") && !is_id("a b") && !is_id(&"x".repeat(65)) && !is_id("é"));
        assert_ne!(made_id(), made_id());
    }
}
