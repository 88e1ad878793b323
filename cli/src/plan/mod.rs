//! What was typed, understood: checked values and nothing left to interpret.
//!
//! No file is read and no model is opened here. What only the model can decide (its sampling defaults, how many
//! blocks it has) stays an option until then.

mod audit;
mod bench;
mod capture;
mod compose;
mod doctor;
mod eval;
mod extract;
mod files;
mod generate;
mod model;
mod models;
mod monitor;
mod perplexity;
mod policy;
mod replay;
mod sampling;
mod serve;
mod sites;
mod traces;
mod vectors;

pub use audit::{Audit, AuditAct};
pub use bench::{Bench, Case};
pub use capture::{Capture, Rows};
pub use compose::{Compose, Ranked};
pub use doctor::Doctor;
pub use eval::{Beside, CardChange, Eval, Purpose, Strengths, Verdict};
pub use extract::{Examples, Extract, Merge, Start};
pub use files::{Depth, Export, ExportForm, Import, Inspect, Verify};
pub use generate::{Arms, Chat, Delivery, Generate, Prompt, PromptForm};
use model::variables;
pub use model::{Opening, PoolSize, Source, Template};
pub use models::Models;
pub use monitor::{Monitors, Telling};
pub use perplexity::{Contrast, Perplexity};
pub use policy::PolicyCheck;
pub use replay::Replay;
pub use sampling::{Sampling, Seed};
pub use serve::{Named, Serve, Sources, State};
pub use traces::{TraceAct, Traces};
pub use vectors::{Asked, FileForm, Vectors};

use crate::args::{Args, Command, OutputArgs, Shell, Switch};
use crate::error::{Error, Result};

/// What is to be done.
#[derive(Debug, PartialEq)]
pub enum Task {
    /// Print the version.
    Version,
    /// Print the devices of this build.
    Devices,
    /// Talk.
    Chat(Chat),
    /// Answer one prompt.
    Generate(Generate),
    /// Make the answers of a receipt again.
    Replay(Replay),
    /// Write activations.
    Capture(Capture),
    /// Measure what a vector does.
    Eval(Eval),
    /// Make a vector of examples.
    Extract(Extract),
    /// Make a vector of shards.
    Merge(Merge),
    /// Measure how well a text is predicted.
    Perplexity(Perplexity),
    /// Measure speed.
    Bench(Bench),
    /// Show vector files.
    Inspect(Inspect),
    /// Prove that steering acts.
    Verify(Verify),
    /// Make a vector file of another program's.
    Import(Import),
    /// Write a vector file for another program.
    Export(Export),
    /// Look after models.
    Models(Models),
    /// Make one vector of several.
    Compose(Compose),
    /// Serve over HTTP.
    Serve(Box<Serve>),
    /// Look after traces.
    Traces(Traces),
    /// Look at what monitors did.
    Audit(Audit),
    /// Look at a policy.
    Policy(PolicyCheck),
    /// Look at the machine.
    Doctor(Doctor),
    /// Print completions.
    Completions(Shell),
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Form {
    /// The form that the output flags ask for.
    pub fn of(output: &OutputArgs) -> Form {
        if output.json.is_on() { Form::Json } else { Form::Text }
    }
}

/// Understands what was typed.
pub fn of(args: Args) -> Result<Task> {
    if args.version.is_on() {
        return Ok(Task::Version);
    }
    if args.list_devices.is_on() {
        return Ok(Task::Devices);
    }
    let form = Form::of(&args.output);
    let Some(command) = args.command else {
        return Err(Error::usage("command", "is missing"));
    };
    match command {
        Command::Chat(args) => generate::chat(args).map(Task::Chat),
        Command::Generate(args) if args.replay.is_some() => replay::replay(args).map(Task::Replay),
        Command::Generate(args) => generate::generate(args, form).map(Task::Generate),
        Command::Capture(args) => capture::capture(args).map(Task::Capture),
        Command::Eval(args) => eval::eval(args).map(Task::Eval),
        Command::Extract(args) => extract::extract(args).map(Task::Extract),
        Command::Merge(args) => extract::merge(args).map(Task::Merge),
        Command::Perplexity(args) => perplexity::perplexity(args).map(Task::Perplexity),
        Command::Bench(args) => bench::bench(args, form).map(Task::Bench),
        Command::Inspect(args) => files::inspect(args).map(Task::Inspect),
        Command::Verify(args) => files::verify(args).map(Task::Verify),
        Command::Import(args) => files::import(args).map(Task::Import),
        Command::Export(args) => files::export(args).map(Task::Export),
        Command::Models(args) => models::models(args).map(Task::Models),
        Command::Compose(args) => compose::compose(args).map(Task::Compose),
        Command::Serve(args) => serve::serve(*args).map(|plan| Task::Serve(Box::new(plan))),
        Command::Traces(args) => Ok(Task::Traces(traces::traces(args))),
        Command::Audit(args) => audit::audit(args).map(Task::Audit),
        Command::Policy(args) => policy::policy(args).map(Task::Policy),
        Command::Doctor(args) => doctor::doctor(args).map(Task::Doctor),
        Command::Completions { shell } => Ok(Task::Completions(shell)),
    }
}

/// One of two things, by a switch.
fn choose<T>(switch: Switch, on: T, off: T) -> T {
    if switch.is_on() { on } else { off }
}

#[cfg(test)]
mod tests;
