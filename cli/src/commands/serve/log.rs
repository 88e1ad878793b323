//! The server's log: lines on stderr, the answer's text in none of them unless it was asked for.

use crate::console::Console;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Installs the log. `RUST_LOG` outranks `-v`; a program that has one already keeps it.
pub fn install(console: &Console) {
    let level = console.log_level();
    let usual = format!("warn,trimtab_server={level},trimtab_adapters={level}");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colour = std::io::stderr().is_terminal() && console.is_coloured();
    log.with_ansi(colour).try_init().ok();
}
