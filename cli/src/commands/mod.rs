//! What the commands do.

mod answer;
mod audit;
mod bench;
mod capture;
mod chat;
mod compose;
mod convert;
mod doctor;
mod eval;
mod extract;
mod generate;
mod inspect;
mod models;
mod monitors;
mod opened;
mod perplexity;
mod policy;
mod replay;
mod serve;
mod state;
mod table;
mod traces;
mod vectors;
mod verify;

use crate::args::{self, Shell};
use crate::console::Console;
use crate::document::{Head, Version};
use crate::error::Result;
use crate::plan::Task;
use serde::Serialize;
use trimtab_runtime::device::Device;

/// Does what is planned.
pub fn run(task: Task, console: &Console) -> Result<()> {
    match task {
        Task::Version => version(console),
        Task::Devices => devices(console),
        Task::Chat(plan) => chat::run(&plan, console),
        Task::Generate(plan) => generate::run(&plan, console),
        Task::Replay(plan) => replay::run(&plan, console),
        Task::Capture(plan) => capture::run(&plan, console),
        Task::Eval(plan) => eval::run(&plan, console),
        Task::Extract(plan) => extract::run(&plan, console),
        Task::Merge(plan) => extract::merge(&plan, console),
        Task::Perplexity(plan) => perplexity::run(&plan, console),
        Task::Bench(plan) => bench::run(&plan, console),
        Task::Inspect(plan) => inspect::run(&plan, console),
        Task::Verify(plan) => verify::run(&plan, console),
        Task::Import(plan) => convert::import(&plan, console),
        Task::Export(plan) => convert::export(&plan, console),
        Task::Models(plan) => models::run(&plan, console),
        Task::Compose(plan) => compose::run(&plan, console),
        Task::Serve(plan) => serve::run(&plan, console),
        Task::Traces(plan) => traces::run(&plan, console),
        Task::Audit(plan) => audit::run(&plan, console),
        Task::Policy(plan) => policy::run(&plan, console),
        Task::Doctor(plan) => doctor::run(&plan, console),
        Task::Completions(shell) => completions(shell, console),
    }
}

fn version(console: &Console) -> Result<()> {
    let version = Version::new();
    if console.is_json() { console.print(&version) } else { console.say_line(version.line()) }
}

#[derive(Serialize)]
struct Devices {
    #[serde(flatten)]
    head: Head,
    devices: Vec<&'static str>,
}

fn devices(console: &Console) -> Result<()> {
    let devices = Device::built_in();
    if console.is_json() {
        return console.print(&Devices { head: Head::bare("devices"), devices });
    }
    console.say_line(devices.join("\n"))
}

fn completions(shell: Shell, console: &Console) -> Result<()> {
    use clap_complete::Shell as Known;
    let known = match shell {
        Shell::Bash => Known::Bash,
        Shell::Zsh => Known::Zsh,
        Shell::Fish => Known::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(known, &mut args::command(), "trimtab", &mut script);
    console.say(&String::from_utf8_lossy(&script))
}
