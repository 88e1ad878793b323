//! `adapters prove`: what an adapter is said to do, checked on the loaded model and on a copy of what is kept.
//!
//! A fresh adapter is taught three lessons; of a stored one a copy is made, version after version. Everything happens in a
//! folder of its own, which is removed: the state folder is only read. Answers are greedy, and two of them are the same if
//! their tokens and every bit of their log-probabilities are.

mod answers;
mod asking;
mod checks;
mod copy;
mod forgetting;
mod report;
mod taste;
mod thumbs;

use super::args::ProveArgs;
use super::shelf::{key, with_shelf};
use crate::commands::opened::open;
use crate::console::Console;
use crate::error::{Error, Result};
use crate::flags::adapt::config;
use crate::flags::model::{Opening, at_least_one};
use copy::{Copied, Proving, Subject};

/// Checks everything and prints a report.
pub fn run(args: ProveArgs, console: &Console) -> Result<()> {
    at_least_one("--n-predict", Some(args.n_predict))?;
    let subject = match &args.adapter {
        None => Subject::Fresh(config("rosa", args.adapt_param, None)?),
        Some(id) => Subject::Stored(stored(&args, id)?),
    };
    let opened = open(&Opening::of(args.model)?, console)?;
    let proving = Proving::begin(&opened, subject, args.n_predict)?;
    let checks = checks::all(proving, console)?;
    report::print(&checks, (&opened, args.adapter.as_deref()), console)?;
    match report::failed(&checks) {
        failed if failed.is_empty() => Ok(()),
        failed => Err(Error::Check { failed }),
    }
}

/// All versions of a stored adapter, as files.
fn stored(args: &ProveArgs, id: &str) -> Result<Copied> {
    let key = key(&args.shelf, id)?;
    let (versions, config) = with_shelf(&args.shelf, async |shelf| {
        let newest = shelf.adapter(&key).await?.version;
        let mut versions = Vec::new();
        for number in 1..=newest {
            versions.push(shelf.export(&key, Some(number)).await?.bytes);
        }
        let config = match newest {
            0 => None,
            _ => Some(shelf.state(&key, None).await?.0),
        };
        Ok((versions, config))
    })?;
    let Some(config) = config else {
        let problem = "has learnt nothing yet; without --adapter a fresh one is proved";
        return Err(Error::usage("--adapter", problem));
    };
    Ok(Copied { versions, config: config.as_ref().clone() })
}
