//! Event streams: `data:` lines and comments, nothing else.
//!
//! No `id:` and no `event:` lines: with an id, one official client turns the next comment into an empty event that it
//! cannot parse; named events reach the users of another as objects they do not know. A comment ends with one newline:
//! behind a blank line one client takes it for an empty event.

/// What breaks a silence.
pub(crate) const KEEP_ALIVE: &str = ": keep-alive\n";

/// One event. JSON has no line breaks, so a document is one line.
pub(crate) fn frame(data: &str) -> String {
    format!("data: {data}\n\n")
}
