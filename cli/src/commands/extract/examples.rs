//! The examples of an extraction, and what is told of those that are left out.

use super::config::{self, Examples};
use crate::commands::vectors::unreadable;
use crate::console::Console;
use crate::error::{Error, Result};
use std::fmt::Display;
use std::io::Read;
use std::path::Path;
use trimtab_runtime::filetype::Unreadable;
use trimtab_steering::pairs::{FILE_LIMIT, Pairs};

/// What stands for standard input.
const STDIN: &str = "-";
const STDIN_NAME: &str = "standard input";
/// How many of those that are left out are named one by one.
const NAMED: usize = 5;

/// Whether a path stands for standard input.
pub fn is_stdin(path: &Path) -> bool {
    path == Path::new(STDIN)
}

pub fn read(plan: &config::Extract, console: &Console) -> Result<Pairs> {
    let pairs = match &plan.data {
        Examples::Records(path, names) if is_stdin(path) => {
            let bytes = input()?;
            let wrong = |source| Error::Data { path: STDIN_NAME.into(), source: Box::new(source) };
            Pairs::named(&bytes, plan.args.bad_pairs, names).map_err(wrong)?
        }
        Examples::Records(path, names) => {
            Pairs::open(path, plan.args.bad_pairs, names).map_err(unreadable)?
        }
        Examples::Prompts { positive, negative } => {
            Pairs::open_prompts(positive, negative, plan.args.bad_pairs).map_err(unreadable)?
        }
    };
    tell(&pairs.findings, console);
    Ok(pairs)
}

/// Standard input, as long as a file may be.
fn input() -> Result<Vec<u8>> {
    let path = || STDIN_NAME.into();
    let mut bytes = Vec::new();
    let input = std::io::stdin().lock().take(FILE_LIMIT.saturating_add(1));
    { input }.read_to_end(&mut bytes).map_err(|source| Error::Read { path: path(), source })?;
    if bytes.len() as u64 > FILE_LIMIT {
        let source = Unreadable::TooLong { limit: FILE_LIMIT };
        return Err(Error::NotText { path: path(), source });
    }
    Ok(bytes)
}

/// Tells what is left out: the first few, and how many more.
pub fn tell(findings: &[impl Display], console: &Console) {
    for finding in findings.iter().take(NAMED) {
        console.warn(format!("{finding}; it is left out"));
    }
    let more = findings.len().saturating_sub(NAMED);
    if more > 0 {
        console.warn(format!("{more} more are left out, {} in all", findings.len()));
    }
}
