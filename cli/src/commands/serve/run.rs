//! Reads vectors and keys, opens the model, listens, and drains running answers when it is told to stop.

use super::config::Serve;
use super::desk::{Behind, app, policies, read};
use super::log;
use crate::commands::opened::open;
use crate::console::Console;
use crate::document::VERSION;
use crate::error::{Error, Result, read_text};
use crate::interrupt::Stoppable;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use trimtab_adapters::store::Store;
use trimtab_runtime::{Error as Runtime, Model, device};
use trimtab_server::settings::{Key, Params, Settings, Switch};
use trimtab_server::{Persistence, serve};

/// How often Ctrl-C is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Serves until it is told to stop.
pub fn run(plan: &Serve, console: &Console) -> Result<()> {
    log::install(console);
    // Everything that can be wrong about files is found before the model is opened.
    let vectors = read(&plan.args.vector)?;
    policies(&plan.args.policy)?;
    let settings = settings(plan)?;
    let threads = threads()?;
    threads.block_on(async {
        let keep = keep(plan).await?;
        let listener = bind(settings.address).await?;
        let address = listener.local_addr().unwrap_or(settings.address);
        let opened = open(&plan.opening, console)?;
        if let Err(error @ Runtime::Tokenizer(_)) = opened.model.tokenizer() {
            return Err(error.into());
        }
        let banner = banner(&opened.model, plan, (&settings, address));
        let app = app(opened.model, Behind::of(plan), (settings, keep, vectors), console).await?;
        banner.iter().for_each(|line| console.tell_always(line));
        let stopping = Stoppable::begin();
        let served = serve(listener, app, stopped(&stopping)).await;
        served.map_err(|source| Error::System { what: "listener", source })
    })
}

/// What runs connections. The engine has a thread of its own.
pub fn threads() -> Result<tokio::runtime::Runtime> {
    let threads =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    threads.map_err(|source| Error::System { what: "threads for connections", source })
}

fn settings(plan: &Serve) -> Result<Settings> {
    let mut keys = plan.params.keys.clone();
    if let Some(path) = &plan.args.api_key_file {
        keys.extend(Key::of_file(&read_text(path)?).map_err(Error::Misfit)?);
    }
    Params { keys, ..plan.params.clone() }.check().map_err(Error::Misfit)
}

async fn keep(plan: &Serve) -> Result<Persistence> {
    let Some(folder) = &plan.folder else { return Ok(Persistence::nothing()) };
    let store = Store::open(folder).await?;
    let switch = |on: bool| if on { Switch::On } else { Switch::Off };
    let (traces, text) = (switch(plan.args.store_traces), switch(plan.args.audit_text));
    Ok(Persistence::in_store(store, traces).with_audit_text(text))
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|source| Error::Bind { address, source })
}

/// Until Ctrl-C or SIGTERM. A second one of either ends the program at once.
async fn stopped(stopping: &Stoppable) {
    terminations();
    while !stopping.is_stopping() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Takes SIGTERM for Ctrl-C.
#[cfg(unix)]
fn terminations() {
    use tokio::signal::unix::{SignalKind, signal};
    // Where the system does not allow it, SIGTERM ends the program as it always did.
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::spawn(async move {
        while terminate.recv().await.is_some() {
            if Stoppable::stop() {
                std::process::exit(143);
            }
        }
    });
}

#[cfg(not(unix))]
fn terminations() {}

/// What is said at the start, line by line.
fn banner(
    model: &Model,
    plan: &Serve,
    (settings, address): (&Settings, SocketAddr),
) -> [String; 3] {
    let decoder = model.decoder();
    let keys = match (settings.keys.len(), settings.address.ip().is_loopback()) {
        (0, true) => "no key needed, this machine only".to_owned(),
        (0, false) => "no key needed, open to everybody".to_owned(),
        (count, _) => format!("{count} keys"),
    };
    let admin = if settings.admin.is_on() { "on" } else { "off" };
    let state = plan.folder.as_ref().map_or("none".to_owned(), |f| f.display().to_string());
    let name = settings.names.first().map_or(model.name(), String::as_str);
    let (arch, stored) = (decoder.spec().arch.name, &model.identity().quantization);
    let (kind, threads, context) = (decoder.device().kind(), device::threads(), decoder.context());
    let (together, waiting) = (plan.args.parallel, plan.args.max_queue);
    [
        format!("trimtab {VERSION} serves {name} ({arch} {stored}) at http://{address}"),
        format!(
            "device {kind} with {threads} threads, context {context}, {together} answers at once, {waiting} may wait"
        ),
        format!("{keys}; administration {admin}; state {state}"),
    ]
}
