//! Monitors of `chat` and `generate`: a guard for each answer, and what is told of it.

use super::opened::Opened;
use super::serve::{Prepare, folder_of_state, policies, prepare, read};
use crate::console::Console;
use crate::error::{Error, Result, read_data};
use crate::flags::monitor::{Monitors, Telling};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use trimtab_server::{Answered, Desk, Display, Guarded, Guarding};
use trimtab_steering::compose::dose::DoseLimit;
use trimtab_steering::file::said;
use trimtab_steering::monitor::policy::Policy;
use trimtab_steering::monitor::record::{Check, GuardAction, Outcome};
use trimtab_steering::monitor::{Action, Record};
use trimtab_steering::stack::Lowered;

/// Who watches answers, and how much is told of it.
pub struct Watching {
    guarding: Guarding,
    telling: Telling,
}

impl Watching {
    /// The monitor of a plan, if it has one. What it does on a retry is held to the limit together with the answer's vectors.
    /// What could not act is refused before anything is answered.
    pub fn open(
        (plan, dose): (&Monitors, DoseLimit),
        opened: &Opened,
        display: Display,
        console: &Console,
    ) -> Result<Option<Watching>> {
        let Some(path) = &plan.file else { return Ok(None) };
        let document = read_data(path)?;
        let parsed = parsed(path, &document)?;
        let mut desk = Desk::new(opened.model.clone()).within(dose);
        policies(&plan.policies)?.into_iter().for_each(|policy| desk.add(policy));
        let judged: Vec<Arc<Policy>> =
            judged(&parsed).iter().filter_map(|name| desk.policy(name)).collect();
        let folder = if judged.is_empty() { None } else { Some(folder_of_state(None)?) };
        let calibrate: Prepare = &|policy, folder, progress| desk.prepare(policy, folder, progress);
        prepare(&judged, folder.as_deref(), console, calibrate)?;
        let vectors = read(&plan.vectors)?;
        let guarding = Guarding::new(desk, document.as_bytes(), (vectors, display));
        let guarding = guarding.map_err(|refusal| Error::within(path)(refusal.into()))?;
        Ok(Some(Watching { guarding, telling: plan.telling }))
    }

    /// The guard of an answer.
    pub fn guard(&self, request: Option<&str>, steered: &Lowered, seed: u64) -> Result<Guarded> {
        Ok(self.guarding.guard(&Answered { request, steered, seed })?)
    }

    /// Tells what a guard found and did.
    pub fn tell(&self, record: &Record, console: &Console) {
        if self.telling == Telling::Steps {
            steps(record).for_each(|line| console.tell_always(line));
            console.tell_always(summary(record));
        } else if record.outcome != Outcome::Clean {
            console.note(summary(record));
        }
    }
}

/// The document as JSON.
fn parsed(path: &Path, document: &str) -> Result<Value> {
    serde_json::from_str(document).map_err(|e| {
        let (problem, line) = said(&e);
        Error::usage("--monitor", format!("{} line {line} is not JSON: {problem}", path.display()))
    })
}

/// The policies that watches of kind `coot` name: the model has to be calibrated for them. What is wrong with the document is
/// said where it is read whole.
fn judged(parsed: &Value) -> Vec<String> {
    let watches = parsed.get("watch").and_then(Value::as_array).into_iter().flatten();
    let judges = watches.filter(|watch| watch.get("kind").and_then(Value::as_str) == Some("coot"));
    let name =
        |watch: &Value| watch.get("policy").and_then(Value::as_str).unwrap_or("default").to_owned();
    let mut names: Vec<String> = judges.map(name).collect();
    names.sort();
    names.dedup();
    names
}

/// How an answer came out, on one line.
fn summary(record: &Record) -> String {
    let rewinds = record.rewinds().count();
    let mut line = format!(
        "monitor: {}, {} checks, {} hits, {rewinds} rewinds, {} tokens taken back, at most {} held",
        record.outcome.name(),
        record.checks.len(),
        record.hits,
        record.discarded(),
        record.held,
    );
    if let Some(why) = &record.why {
        line.push_str(&format!(" ({why})"));
    }
    line
}

/// Checks that found something, and what was done, in the order of the answer's attempts.
fn steps(record: &Record) -> impl Iterator<Item = String> {
    let plain = |check: &&Check| check.action != Action::Continue;
    let checks = record.checks.iter().filter(plain).map(|check| {
        let asked = format!("{:?}", check.action).to_lowercase();
        let note = check.note.as_ref().map(|note| format!(" {note}")).unwrap_or_default();
        let state = check.state.map(|state| format!(" {state}")).unwrap_or_default();
        format!(
            "monitor: {} at {}: {asked}{state}, score {:.3}, margin {:+.3}{note}",
            name(record, check.watch),
            check.at,
            check.score,
            check.margin
        )
    });
    checks.chain(record.interventions.iter().map(|one| step(record, one)))
}

fn step(record: &Record, one: &GuardAction) -> String {
    let ban =
        if one.ban.is_empty() { String::new() } else { format!(", {} banned", one.ban.len()) };
    format!(
        "monitor: {} took back {} to {} ({}), guidance {}{ban}: {}, was {:?}",
        name(record, one.watch),
        one.at,
        one.from,
        one.rule,
        one.guidance,
        one.sequel.name(),
        one.text
    )
}

fn name(record: &Record, watch: usize) -> &str {
    record.watches.get(watch).map_or("", String::as_str)
}
