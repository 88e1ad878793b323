//! `generate --replay`: the answers of a receipt, made again.

use super::args::GenerateArgs;
use crate::commands::opened::open;
use crate::commands::serve::{Behind, app, read, threads};
use crate::console::Console;
use crate::error::{Error, Result};
use trimtab_runtime::engine::EngineOptions;
use trimtab_runtime::filetype;
use trimtab_server::Persistence;
use trimtab_server::settings::Params;
use trimtab_server::steer::{Access, Setup};
use trimtab_steering::compose::dose::DoseLimit;

/// Makes the answers again and says whether they are what they were.
pub fn run(args: GenerateArgs, console: &Console) -> Result<()> {
    let Some(path) = args.replay else {
        return Err(Error::usage("--replay", "is missing"));
    };
    let opening = args.answer.opening()?;
    let receipt =
        std::fs::read(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    let vectors = read(&args.vector)?;
    let opened = open(&opening, console)?;
    let head = opened.head("generate");
    let settings = Params::default().check().map_err(Error::Misfit)?;
    // What the receipt brings was taken in once.
    let setup = Setup {
        inline: Access::Open,
        dose: DoseLimit::at_site(8.0),
        upload_limit: 4 << 20,
        ..Setup::default()
    };
    let engine = EngineOptions { chunk: opening.chunk, ..EngineOptions::default() };
    let behind = Behind { engine, setup, policies: &[], presets: None, folder: None };
    let parts = (settings, Persistence::nothing(), vectors);
    let app = threads()?.block_on(app(opened.model, behind, parts, console))?;
    let replayed = app
        .replay(filetype::bytes_without_bom(&receipt))
        .map_err(|refusal| Error::within(&path)(refusal.into()))?;
    let same = replayed.said.as_ref().map(|said| *said == replayed.texts);
    if console.is_json() {
        console.print(&head.with("texts", &replayed.texts).with("same", same))?;
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
