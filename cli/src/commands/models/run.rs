//! Lists names, fetches files, and describes a model from its header without loading its weights.

use super::args::{ModelsArgs, ModelsCommand};
use super::describe;
use crate::commands::opened::files;
use crate::commands::table::markdown;
use crate::console::Console;
use crate::document::{Fields, head};
use crate::error::Result;
use crate::flags::model::Source;
use std::path::PathBuf;
use trimtab_runtime::hub::{Cached, Entry, Local, Reach, Resolver, State};

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

fn list(console: &Console) -> Result<()> {
    let cached = Resolver::new().cached();
    let models = cached.into_iter().map(|Cached { entry, state, .. }| {
        let path = if let State::Ready(path) = state { Some(path) } else { None };
        (entry, path)
    });
    if console.is_json() {
        let entry = |(entry, path): (&Entry, Option<PathBuf>)| {
            Fields::new("name", entry.name)
                .with("summary", entry.summary)
                .with("licence", entry.licence)
                .with("bytes", entry.bytes)
                .with("sha256", entry.sha256)
                .with("here", path.is_some())
                .with("path", path)
        };
        let models: Vec<Fields> = models.map(entry).collect();
        return console.print(&head("models list", None).with("models", models));
    }
    let rows = models.map(|(entry, path)| {
        let here = if path.is_some() { "yes" } else { "no" };
        let size = format!("{:.0} MB", entry.bytes as f64 / 1e6);
        [entry.name, &size, here, entry.licence, entry.summary].map(str::to_owned)
    });
    console.say_line(markdown("name;>size;here;licence;what", rows))
}

/// Finds the files, or fetches them where that is allowed, and says where they are.
fn place(command: &'static str, source: &Source, console: &Console) -> Result<()> {
    let Local { name, revision, path, .. } = files(source, console)?;
    if console.is_json() {
        let place = head(command, None).with("name", name).with("revision", revision);
        return console.print(&place.with("path", path));
    }
    console.say_line(path.display())
}
