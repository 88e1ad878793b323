//! Lists, shows and deletes the answers that a state folder holds.

use super::args::{TracesArgs, TracesCommand};
use crate::commands::state::with_store;
use crate::commands::table::{Column, markdown};
use crate::console::Console;
use crate::document::Head;
use crate::error::{Error, Result};
use serde::Serialize;
use trimtab_adapters::store::{Retention, Store, Trace, now_ms};

/// The most traces that a response is looked for among.
const ALL: u32 = 10_000;

#[derive(Serialize)]
struct List {
    #[serde(flatten)]
    head: Head,
    traces: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    response: String,
    owner: String,
    created_ms: i64,
    weights_sha256: String,
    prompt_tokens: usize,
    answers: usize,
}

#[derive(Serialize)]
struct Deleted {
    #[serde(flatten)]
    head: Head,
    deleted: u64,
}

impl Entry {
    fn of(trace: Trace) -> Entry {
        Entry {
            response: trace.response,
            owner: trace.owner,
            created_ms: trace.created_ms,
            weights_sha256: trace.weights_sha256,
            prompt_tokens: trace.prompt.len(),
            answers: trace.answers.len(),
        }
    }
}

/// Lists, shows or deletes traces.
pub fn run(args: &TracesArgs, console: &Console) -> Result<()> {
    let (TracesCommand::List { state_dir, .. }
    | TracesCommand::Show { state_dir, .. }
    | TracesCommand::Delete { state_dir, .. }) = &args.command;
    with_store(state_dir.as_ref(), async |store| match &args.command {
        TracesCommand::List { most, .. } => list(store, *most, console).await,
        TracesCommand::Show { response, .. } => show(store, response, console).await,
        TracesCommand::Delete { owner: Some(owner), .. } => {
            deleted(store.delete_traces(owner).await?, console)
        }
        TracesCommand::Delete { owner: None, .. } => {
            deleted(store.retain(&Retention::default(), now_ms()).await?.traces, console)
        }
    })
}

async fn list(store: &Store, most: u32, console: &Console) -> Result<()> {
    let traces: Vec<Entry> = store.traces(most).await?.into_iter().map(Entry::of).collect();
    if console.is_json() {
        return console.print(&List { head: Head::bare("traces"), traces });
    }
    let row = |entry: &Entry| {
        let numbers = [entry.created_ms.to_string(), entry.prompt_tokens.to_string()];
        [vec![entry.response.clone(), entry.owner.clone()], numbers.to_vec()].concat()
    };
    let columns = [
        Column::Left("response"),
        Column::Left("owner"),
        Column::Right("ms since 1970"),
        Column::Right("prompt"),
    ];
    console.say_line(markdown(&columns, traces.iter().map(row).collect()))
}

async fn show(store: &Store, response: &str, console: &Console) -> Result<()> {
    let traces = store.traces(ALL).await?;
    match traces.into_iter().find(|trace| trace.response == response) {
        Some(trace) => console.say_line(trace.receipt),
        None => Err(Error::usage("RESPONSE", format!("{response} has no trace"))),
    }
}

fn deleted(deleted: u64, console: &Console) -> Result<()> {
    if console.is_json() {
        return console.print(&Deleted { head: Head::bare("traces"), deleted });
    }
    console.say_line(format!("deleted {deleted} traces"))
}
