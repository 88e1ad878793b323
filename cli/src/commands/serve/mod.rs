//! `serve`: a model behind OpenAI's API.

mod log;
mod steering;

use super::opened::{Opened, open};
use crate::args::environment::state_folder;
use crate::console::Console;
use crate::document::{GIT, VERSION, Version};
use crate::error::{Error, Result, read_text};
use crate::interrupt::Stoppable;
use crate::plan::{Serve, State};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use trimtab_adapters::Store;
use trimtab_runtime::device;
use trimtab_runtime::engine::Engine;
use trimtab_server::settings::{Build, Key, Settings};
use trimtab_server::{App, serve};

/// How often Ctrl-C is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Serves until it is told to stop.
pub fn run(plan: Serve, console: &Console) -> Result<()> {
    log::install(console);
    // Everything that can be wrong about files is found before the model is opened.
    let vectors = steering::read(&plan)?;
    let settings = settings(&plan)?;
    let opened = open(&plan.opening, console)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|source| Error::System { what: "threads for connections", source })?;
    runtime.block_on(async {
        let listener = bind(settings.address).await?;
        let address = listener.local_addr().unwrap_or(settings.address);
        let app = app(opened, &plan, (settings, vectors), console).await?;
        console.tell_always(banner(&app, &plan, address));
        let stopping = Stoppable::begin();
        let served = serve(listener, app, stopped(&stopping)).await;
        served.map_err(|source| Error::System { what: "the listener", source })
    })
}
