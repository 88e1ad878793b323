//! `generate --replay`: the answers of a receipt, made again.

use super::config::Replay;
use crate::commands::opened::open;
use crate::commands::serve::config::{Serve, Sources, State};
use crate::commands::serve::{app, read, threads};
use crate::console::Console;
use crate::document::Head;
use crate::error::{Error, Result};
use serde::Serialize;
use trimtab_runtime::engine::EngineOptions;
use trimtab_runtime::filetype;
use trimtab_server::Persistence;
use trimtab_server::settings::Params;

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    head: Head,
    texts: Vec<String>,
    /// Whether they are what the response said; null of a receipt without its response.
    same: Option<bool>,
}

/// Makes the answers again and says whether they are what they were.
pub fn run(plan: &Replay, console: &Console) -> Result<()> {
    let receipt = std::fs::read(&plan.receipt)
        .map_err(|source| Error::Read { path: plan.receipt.clone(), source })?;
    let vectors = read(&plan.vectors)?;
    let opened = open(&plan.opening, console)?;
    let head = opened.head("generate");
    let settings = Params::default().check().map_err(Error::Misfit)?;
    let desk = desk(plan);
    let parts = (settings, Persistence::nothing(), vectors);
    let app = threads()?.block_on(app(opened.model, &desk, parts, console))?;
    let replayed = app
        .replay(filetype::bytes_without_bom(&receipt))
        .map_err(|refusal| Error::within(&plan.receipt)(refusal.into()))?;
    let same = replayed.said.as_ref().map(|said| *said == replayed.texts);
    if console.is_json() {
        console.print(&Document { head, texts: replayed.texts, same })?;
    } else {
        replayed.texts.iter().try_for_each(|text| console.say_line(text))?;
    }
    match same {
        Some(false) => {
            Err(Error::Check { failed: "answers differ from the response's".to_owned() })
        }
        Some(true) | None => Ok(()),
    }
}

/// A server without a socket.
fn desk(plan: &Replay) -> Serve {
    Serve {
        opening: plan.opening.clone(),
        params: Params::default(),
        key_file: None,
        engine: EngineOptions { chunk: plan.opening.chunk, ..EngineOptions::default() },
        vectors: Vec::new(),
        sources: Sources {
            root: None,
            by_request: false,
            // What the receipt brings was taken in once.
            inline: true,
            upload: 4 << 20,
            dose: 8.0,
        },
        presets: None,
        state: State::None,
        traces: false,
        audit_text: false,
        policies: Vec::new(),
    }
}
