//! The names of the headers that are the server's own.

use axum::http::header::HeaderName;

/// The id of a request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Fields of a request that were ignored.
pub(crate) const IGNORED: HeaderName = HeaderName::from_static("x-trimtab-ignored");
/// What may not be what was meant.
pub(crate) const WARNING: HeaderName = HeaderName::from_static("x-trimtab-warning");
/// The seed of the draws.
pub(crate) const SEED: HeaderName = HeaderName::from_static("x-trimtab-seed");
/// The digest of a file that is sent.
pub(crate) const DIGEST: HeaderName = HeaderName::from_static("x-trimtab-sha256");
