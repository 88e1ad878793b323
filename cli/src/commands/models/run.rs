//! Lists names, fetches files, and describes a model from its header without loading its weights.

use super::args::{ModelsArgs, ModelsCommand};
use super::describe;
use crate::commands::opened::files;
use crate::commands::table::{Column, markdown};
use crate::console::Console;
use crate::document::Head;
use crate::error::Result;
use crate::flags::model::Source;
use serde::Serialize;
use std::path::PathBuf;
use trimtab_runtime::hub::{Cached, Local, Reach, Resolver, State};

/// Looks after models.
pub fn run(args: ModelsArgs, console: &Console) -> Result<()> {
    match args.command {
        ModelsCommand::List => list(console),
        ModelsCommand::Pull(target) => place("models pull", &target.source()?, console),
        ModelsCommand::Info(target) => describe::run(&target.source()?, console),
        ModelsCommand::Path(target) => {
            let source = Source { reach: Some(Reach::Offline), ..target.source()? };
            place("models path", &source, console)
        }
    }
}

#[derive(Serialize)]
struct List {
    #[serde(flatten)]
    head: Head,
    models: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    name: &'static str,
    summary: &'static str,
    licence: &'static str,
    bytes: u64,
    sha256: &'static str,
    here: bool,
    path: Option<PathBuf>,
}

impl Entry {
    fn new(cached: Cached) -> Entry {
        let of = cached.entry;
        let path = match cached.state {
            State::Ready(path) => Some(path),
            _ => None,
        };
        Entry {
            name: of.name,
            summary: of.summary,
            licence: of.licence,
            bytes: of.bytes,
            sha256: of.sha256,
            here: path.is_some(),
            path,
        }
    }
}

fn list(console: &Console) -> Result<()> {
    let models: Vec<Entry> = Resolver::new().cached().into_iter().map(Entry::new).collect();
    if console.is_json() {
        return console.print(&List { head: Head::bare("models list"), models });
    }
    let columns = [
        Column::Left("name"),
        Column::Right("size"),
        Column::Left("here"),
        Column::Left("licence"),
        Column::Left("what"),
    ];
    let row = |entry: &Entry| {
        vec![
            entry.name.to_owned(),
            format!("{:.0} MB", entry.bytes as f64 / 1e6),
            if entry.here { "yes" } else { "no" }.to_owned(),
            entry.licence.to_owned(),
            entry.summary.to_owned(),
        ]
    };
    console.say_line(markdown(&columns, models.iter().map(row).collect()))
}

#[derive(Serialize)]
struct Place {
    #[serde(flatten)]
    head: Head,
    name: String,
    revision: Option<String>,
    path: PathBuf,
}

/// Finds the files, or fetches them where that is allowed, and says where they are.
fn place(command: &'static str, source: &Source, console: &Console) -> Result<()> {
    let Local { name, revision, path, .. } = files(source, console)?;
    if console.is_json() {
        return console.print(&Place { head: Head::bare(command), name, revision, path });
    }
    console.say_line(path.display())
}
