//! The promises of the store, each on a folder of its own.

mod crowd;
mod deletion;
mod interventions;
mod lessons;
mod opening;
mod rows;
mod torn;

use super::{
    Adapter, AdapterVersion, AuditEvent, Cause, GuardActionRow, Store, Trace, UserText, Vector,
};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// A folder that is removed when it goes out of scope.
struct Scratch(PathBuf);

impl Scratch {
    /// A name that nothing has yet; the folder itself is not made.
    fn new() -> Scratch {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("trimtab-state-{}-{number}", std::process::id());
        Scratch(std::env::temp_dir().join(name))
    }

    fn file(&self) -> PathBuf {
        self.0.join("trimtab.sqlite3")
    }

    /// A folder that holds this in the place of the state file.
    fn with(bytes: &[u8]) -> Scratch {
        let scratch = Scratch::new();
        std::fs::create_dir_all(&scratch.0).unwrap();
        std::fs::write(scratch.file(), bytes).unwrap();
        scratch
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A trace that differs from every other of its kind in each field.
fn trace(owner: &str, number: u32) -> Trace {
    Trace {
        id: format!("trace-{owner}-{number}"),
        response: format!("chatcmpl-{owner}-{number}"),
        owner: owner.to_owned(),
        created_ms: 1_767_225_600_000 + i64::from(number),
        weights_sha256: format!("{number:064x}"),
        // Two spaces and a late key: what a parser and writer would not give back.
        receipt: format!(r#"{{"seed":  {number}, "attempts": 1.0, "a": null}}"#),
        prompt: (0..number % 50).collect(),
        answers: vec![vec![number, u32::MAX], Vec::new()],
        user_text: if number.is_multiple_of(2) { UserText::Present } else { UserText::Absent },
        adapter: number.is_multiple_of(3).then(|| ("taste".to_owned(), number)),
    }
}

fn vector(id: &str, content: &[u8]) -> Vector {
    Vector {
        id: id.to_owned(),
        sha256: format!("hash of {content:?}"),
        terms: "content".to_owned(),
        source: "upload".to_owned(),
        created_ms: 5,
        bytes: content.to_vec(),
    }
}

fn adapter(owner: &str, id: &str) -> Adapter {
    Adapter {
        owner: owner.to_owned(),
        id: id.to_owned(),
        method: "rosa".to_owned(),
        weights_sha256: "90be".to_owned(),
        config: r#"{"method":"rosa"}"#.to_owned(),
        created_ms: 7,
    }
}

fn version(owner: &str, id: &str, parent: u32) -> AdapterVersion {
    AdapterVersion {
        owner: owner.to_owned(),
        adapter: id.to_owned(),
        parent,
        cause: Cause::Feedback,
        created_ms: 8,
        detail: r#"{"kl":0.013}"#.to_owned(),
        state: format!("{owner} {id} {parent}").into_bytes(),
    }
}

/// An intervention in the answer of [`trace`]'s trace of this number.
fn intervention(owner: &str, number: u32) -> GuardActionRow {
    let trace = trace(owner, number);
    GuardActionRow {
        request: format!("req-{owner}-{number}"),
        response: trace.response,
        trace: trace.id,
        owner: owner.to_owned(),
        when_ms: trace.created_ms,
        weights_sha256: trace.weights_sha256,
        policy_sha256: Some("ab12".to_owned()),
        prompt_sha256: "cd34".to_owned(),
        choice: 1,
        attempt: 2,
        watch: "harm.read".to_owned(),
        from: 16,
        at: 26,
        score: Some(0.71),
        margin: Some(-0.25),
        state: Some("(-1, 0, 0)".to_owned()),
        action: "retry".to_owned(),
        rule: "clean".to_owned(),
        guidance: "text:S:1".to_owned(),
        beta: Some(0.2),
        ban: vec![7, u32::MAX],
        discarded: 10,
        span_sha256: Some("ef56".to_owned()),
        text: Some(format!("what {number} said")),
        outcome: "recovered".to_owned(),
        count: 3,
    }
}

fn event(when_ms: i64) -> AuditEvent {
    AuditEvent {
        when_ms,
        who: "ops".to_owned(),
        what: "vector.delete".to_owned(),
        object: format!("calm-{when_ms}"),
        detail: "{}".to_owned(),
    }
}
