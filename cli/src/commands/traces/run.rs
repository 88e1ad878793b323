//! Lists, shows and deletes the answers that a state folder holds.

use super::args::{TracesArgs, TracesCommand};
use crate::commands::state::with_store;
use crate::commands::table::markdown;
use crate::console::Console;
use crate::document::{Fields, head};
use crate::error::{Error, Result};
use trimtab_adapters::store::{Retention, Store, Trace, now_ms};

/// The most traces that a response is looked for among.
const ALL: u32 = 10_000;

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
    let traces = store.traces(most).await?;
    if console.is_json() {
        let entry = |trace: &Trace| {
            Fields::new("response", &trace.response)
                .with("owner", &trace.owner)
                .with("created_ms", trace.created_ms)
                .with("weights_sha256", &trace.weights_sha256)
                .with("prompt_tokens", trace.prompt.len())
                .with("answers", trace.answers.len())
        };
        let entries: Vec<Fields> = traces.iter().map(entry).collect();
        return console.print(&head("traces", None).with("traces", entries));
    }
    let rows = traces.into_iter().map(|trace| {
        let (made, tokens) = (trace.created_ms.to_string(), trace.prompt.len().to_string());
        [trace.response, trace.owner, made, tokens]
    });
    console.say_line(markdown("response;owner;>ms since 1970;>prompt", rows))
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
        return console.print(&head("traces", None).with("deleted", deleted));
    }
    console.say_line(format!("deleted {deleted} traces"))
}
