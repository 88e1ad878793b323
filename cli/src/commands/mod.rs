//! What the commands do.

pub mod adapters;
mod answer;
pub mod audit;
pub mod bench;
pub mod capture;
pub mod chat;
pub mod compose;
pub mod convert;
pub mod doctor;
pub mod eval;
pub mod extract;
pub mod generate;
pub mod inspect;
mod learning;
pub mod models;
mod monitors;
mod opened;
pub mod perplexity;
pub mod policy;
pub mod serve;
pub mod simulate;
mod state;
mod table;
pub mod traces;
mod vectors;
pub mod verify;

use crate::args::{self, Args, Command};
use crate::console::{Console, Form};
use crate::document;
use crate::error::{Error, Result};
use clap_complete::Shell;
use trimtab_runtime::device::Device;

/// Does what was typed. What cannot be meant is refused before any work.
pub fn run(args: Args, console: &Console) -> Result<()> {
    if args.version {
        return version(console);
    }
    if args.list_devices {
        return devices(console);
    }
    let form = Form::of(&args.output);
    let Some(command) = args.command else {
        return Err(Error::usage("command", "is missing"));
    };
    match command {
        Command::Chat(args) => chat::run(&chat::args::Chat::of(args)?, console),
        Command::Generate(args) if args.replay.is_some() => generate::replay::run(args, console),
        Command::Generate(args) => {
            generate::run(&generate::config::Generate::of(args, form)?, console)
        }
        Command::Capture(args) => capture::run(&capture::config::capture(args)?, console),
        Command::Eval(args) => eval::run(&eval::config::Eval::of(args)?, console),
        Command::Extract(args) => extract::run(&extract::config::Extract::of(args)?, console),
        Command::Merge(args) => extract::merge(&args, console),
        Command::Perplexity(args) => {
            perplexity::run(&perplexity::config::perplexity(args)?, console)
        }
        Command::Bench(args) => bench::run(&bench::config::bench(args, form)?, console),
        Command::Inspect(args) => inspect::run(args, console),
        Command::Verify(args) => verify::run(&verify::config::Verify::of(args)?, console),
        Command::Import(args) => convert::import(args, console),
        Command::Export(args) => convert::export(&args, console),
        Command::Models(args) => models::run(args, console),
        Command::Compose(args) => compose::run(&compose::config::Compose::of(args)?, console),
        Command::Serve(args) => serve::run(&serve::config::Serve::of(*args)?, console),
        Command::Traces(args) => traces::run(&args, console),
        Command::Adapters(args) => adapters::run(args, console),
        Command::Audit(args) => audit::run(args, console),
        Command::Policy(args) => policy::run(args, console),
        Command::Simulate(args) => simulate::run(&simulate::config::plan(*args)?, console),
        Command::Doctor(args) => doctor::run(args, console),
        Command::Completions { shell } => completions(shell, console),
    }
}

fn version(console: &Console) -> Result<()> {
    match console.is_json() {
        true => console.print(&document::version()),
        false => console.say_line(document::version_line()),
    }
}

fn devices(console: &Console) -> Result<()> {
    let devices = Device::built_in();
    if console.is_json() {
        return console.print(&document::head("devices", None).with("devices", devices));
    }
    console.say_line(devices.join("\n"))
}

fn completions(shell: Shell, console: &Console) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "trimtab", &mut script);
    console.say(&String::from_utf8_lossy(&script))
}

#[cfg(test)]
mod tests;
