//! Many runs on all cores.
//!
//! A run cannot be stopped half way. The first Ctrl-C ends the program with runs still going on, and nothing is lost that
//! was to be kept.

use crate::console::Console;
use crate::error::{Error, Result};
use crate::progress::Work;
use crate::threads::physical_cores;
use std::collections::BTreeMap;
use std::iter::Enumerate;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::vec::IntoIter;
use trimtab_runtime::generate::Flow;

/// How often Ctrl-C is asked for.
const WAIT: Duration = Duration::from_millis(100);

/// What the runs gave, in their order whatever the number of cores.
pub fn all<T, R>(runs: Vec<R>, console: &Console) -> Result<Vec<T>>
where
    T: Send + 'static,
    R: FnOnce() -> Result<T> + Send + 'static,
{
    let count = runs.len();
    let work = Work::begin(console, "simulating", count);
    let (sender, receiver) = mpsc::channel();
    let left = Arc::new(Mutex::new(runs.into_iter().enumerate()));
    for _ in 0..physical_cores().min(count) {
        let (sender, left) = (sender.clone(), Arc::clone(&left));
        let thread = std::thread::Builder::new().name("simulation".to_owned());
        thread.spawn(move || take(&left, &sender)).map_err(no_thread)?;
    }
    drop(sender);
    let mut done = BTreeMap::new();
    while done.len() < count {
        let finished = match receiver.recv_timeout(WAIT) {
            Ok((at, outcome)) => {
                done.insert(at, outcome?);
                1
            }
            Err(RecvTimeoutError::Timeout) => 0,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(no_thread(std::io::Error::other("a run ended without a result")));
            }
        };
        if work.done(finished) == Flow::Cancel {
            return Err(Error::Interrupted);
        }
    }
    Ok(done.into_values().collect())
}

/// Does one run after the other until none is left, or none is waited for.
fn take<T, R: FnOnce() -> Result<T>>(
    left: &Mutex<Enumerate<IntoIter<R>>>,
    sender: &Sender<(usize, Result<T>)>,
) {
    // Nothing that can fail is done while the list is held.
    let next = || left.lock().ok().and_then(|mut left| left.next());
    while let Some((at, run)) = next() {
        if sender.send((at, run())).is_err() {
            return;
        }
    }
}

fn no_thread(source: std::io::Error) -> Error {
    Error::System { what: "simulation thread", source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::parse;

    fn quiet() -> Console {
        let argv = ["trimtab", "doctor", "-q"].map(Into::into);
        Console::new(&parse(&argv).unwrap().output)
    }

    #[test]
    fn results_stand_in_the_order_of_their_runs() {
        let run = |at: u64| {
            move || {
                // The first take longest.
                std::thread::sleep(Duration::from_millis(20 - 2 * at));
                Ok(at)
            }
        };
        let found = all((0..10).map(run).collect(), &quiet()).unwrap();
        assert_eq!(found, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn what_goes_wrong_in_a_run_ends_them_all() {
        let run = |at: usize| {
            move || match at {
                3 => Err(Error::usage("run", "is wrong")),
                _ => Ok(at),
            }
        };
        let error = all((0..6).map(run).collect(), &quiet()).unwrap_err();
        assert_eq!(error.to_string(), "run is wrong");
        let none: Vec<fn() -> Result<u8>> = Vec::new();
        assert!(all(none, &quiet()).unwrap().is_empty());
    }
}
