//! Lists, shows, compares, undoes, copies and deletes adapters of a state folder.

use super::args::{AdaptersArgs, AdaptersCommand, ShelfArgs};
use super::shelf::{key, with_shelf};
use super::{diff, prove, tables};
use crate::commands::serve::bytes;
use crate::console::Console;
use crate::document::{Fields, head};
use crate::error::{Error, Result};
use crate::outputs::{self, named};
use std::path::Path;
use trimtab_adapters::host::{AdapterKey, ExportedAdapter};

/// Does what a subcommand says.
pub fn run(args: AdaptersArgs, console: &Console) -> Result<()> {
    match args.command {
        AdaptersCommand::List { shelf } => list(&shelf, console),
        AdaptersCommand::Show { id, shelf } => show(&key(&shelf, &id)?, &shelf, console),
        AdaptersCommand::Diff(args) => diff::run(*args, console),
        AdaptersCommand::Revert { id, to, shelf } => {
            revert(&key(&shelf, &id)?, to, &shelf, console)
        }
        AdaptersCommand::Export { id, number, out, shelf } => {
            export((&key(&shelf, &id)?, number), &out, &shelf, console)
        }
        AdaptersCommand::Import { id, file, shelf } => {
            import(&key(&shelf, &id)?, &file, &shelf, console)
        }
        AdaptersCommand::Delete { id, shelf } => delete(&key(&shelf, &id)?, &shelf, console),
        AdaptersCommand::Prove(args) => prove::run(*args, console),
    }
}

fn list(shelf: &ShelfArgs, console: &Console) -> Result<()> {
    let list = with_shelf(shelf, async |adapters| adapters.adapters(&shelf.owner).await)?;
    if console.is_json() {
        let document = head("adapters", None).with("owner", &shelf.owner);
        return console.print(&document.with("adapters", list));
    }
    if list.is_empty() {
        console.note(format!("owner {} has no adapter here", shelf.owner));
        return Ok(());
    }
    console.say_line(tables::adapters(&list))
}

fn show(key: &AdapterKey, shelf: &ShelfArgs, console: &Console) -> Result<()> {
    let (adapter, versions) = with_shelf(shelf, async |adapters| {
        Ok((adapters.adapter(key).await?, adapters.versions(key).await?))
    })?;
    if console.is_json() {
        let document = head("adapters", None).with("adapter", adapter);
        return console.print(&document.with("versions", versions));
    }
    console.say_line(tables::adapters(std::slice::from_ref(&adapter)))?;
    for arm in &adapter.arms {
        console.say_line(format!("{} {:+.3}", arm.name, arm.reward))?;
    }
    if versions.is_empty() { Ok(()) } else { console.say_line(tables::versions(&versions)) }
}

fn revert(key: &AdapterKey, to: u32, shelf: &ShelfArgs, console: &Console) -> Result<()> {
    let reverted = with_shelf(shelf, async |adapters| adapters.revert(key, to).await)?;
    if console.is_json() {
        return console.print(&head("adapters", None).with("reverted", reverted));
    }
    let (version, restores) = (reverted.version, reverted.restores);
    console.say_line(format!("version {version} of {} equals version {restores}", key.id()))
}

fn export(
    (key, number): (&AdapterKey, Option<u32>),
    out: &Path,
    shelf: &ShelfArgs,
    console: &Console,
) -> Result<()> {
    outputs::plan(&[], &named("--out", Some(out)).collect::<Vec<_>>(), console)?;
    let file = with_shelf(shelf, async |adapters| adapters.export(key, number).await)?;
    let ExportedAdapter { bytes, sha256, version } = file;
    trimtab_steering::file::write(out, &bytes).map_err(Error::writing(out))?;
    if console.is_json() {
        let exported = Fields::new("id", key.id())
            .with("version", version)
            .with("output", out)
            .with("bytes", bytes.len())
            .with("sha256", sha256);
        return console.print(&head("adapters", None).with("exported", exported));
    }
    console.note(format!("wrote version {version} of {} to {}", key.id(), out.display()));
    Ok(())
}

fn import(key: &AdapterKey, file: &Path, shelf: &ShelfArgs, console: &Console) -> Result<()> {
    let bytes = bytes(file)?;
    let imported = with_shelf(shelf, async |adapters| adapters.import(key, &bytes).await);
    let adapter = imported.map_err(Error::within(file))?;
    if console.is_json() {
        return console.print(&head("adapters", None).with("adapter", adapter));
    }
    console.say_line(format!("version {} of {} equals that of the file", adapter.version, key.id()))
}

fn delete(key: &AdapterKey, shelf: &ShelfArgs, console: &Console) -> Result<()> {
    let gone = with_shelf(shelf, async |adapters| adapters.delete(key).await)?;
    if console.is_json() {
        let deleted =
            Fields::new("id", key.id()).with("versions", gone.versions).with("traces", gone.traces);
        return console.print(&head("adapters", None).with("deleted", deleted));
    }
    console.say_line(format!(
        "deleted {} with {} versions and {} traces",
        key.id(),
        gone.versions,
        gone.traces
    ))
}
