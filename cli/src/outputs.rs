//! What a command reads and writes, told to one place before its work.

use crate::console::Console;
use crate::error::{Error, Result};
use crate::flags::model::Opening;
use std::io::ErrorKind;
use std::path::Path;
use trimtab_runtime::hub::{self, ModelRef};
use trimtab_runtime::output::{self, Named, OutputError, Problem, Stdout};

/// Refuses outputs that cannot be written or would overwrite something that the command reads. Where one of them is
/// standard output, what is said to people goes to standard error.
pub fn plan(reads: &[Named], writes: &[Named], console: &Console) -> Result<()> {
    match output::plan(reads, writes)? {
        Stdout::Free => Ok(()),
        Stdout::Taken if console.is_json() => {
            let problem = "writes its document to standard output, where a file is to go too";
            Err(Error::usage("--json", problem))
        }
        Stdout::Taken => {
            console.leave_stdout();
            Ok(())
        }
    }
}

/// The files of a model and its template, as far as they were named by their place.
pub fn of_model(opening: &Opening) -> Vec<Named> {
    let mut files = match &opening.source.model {
        ModelRef::Gguf(path) => {
            hub::parts(path).into_iter().map(|part| Named::new("--model", part)).collect()
        }
        ModelRef::Folder(folder) => {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| Named::new("--model", entry.path())).filter(is_of_model).collect()
        }
        // The rest is in a cache of ours.
        _ => Vec::new(),
    };
    files.extend(named("--chat-template-file", &opening.template_file));
    files
}

/// The files that a flag names.
pub fn named<P: AsRef<Path>>(
    flag: &'static str,
    paths: impl IntoIterator<Item = P>,
) -> impl Iterator<Item = Named> {
    paths.into_iter().map(move |path| Named::new(flag, path.as_ref()))
}

/// Whether a model would be read from a file of its folder.
fn is_of_model(named: &Named) -> bool {
    let suffix = named.path.extension().unwrap_or_default();
    ["safetensors", "json", "jinja", "model"].iter().any(|known| suffix == *known)
}

impl From<OutputError> for Error {
    fn from(refusal: OutputError) -> Self {
        match refusal.problem {
            // A folder that is not there is a word of the user's.
            Problem::System(source) if source.kind() != ErrorKind::NotFound => {
                Error::Write { path: refusal.path, source }
            }
            _ => Error::usage(refusal.flag, refusal.to_string()),
        }
    }
}
