//! Monitors of `chat` and `generate`: a guard for each answer, and what is told of it.

use super::opened::Opened;
use super::serve::{bytes, folder_of_state, policies, prepare};
use super::vectors::Steering;
use crate::console::Console;
use crate::error::{Error, Result, read_data};
use crate::flags::Named;
use crate::flags::monitor::{Monitors, Telling};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use trimtab_runtime::generate::RetryBudget;
use trimtab_runtime::json::{self, JsonErrorKind, JsonLimits};
use trimtab_steering::compose::dose::DoseLimit;
use trimtab_steering::monitor::guard::Stream;
use trimtab_steering::monitor::policy::{BuiltIn, Policy};
use trimtab_steering::monitor::record::{Check, GuardAction, Outcome};
use trimtab_steering::monitor::{Action, Guard, Record, Records};
use trimtab_steering::spec::{
    AdmitTerms, FieldError, GuardLibrary, GuardTerms, LoadedVector, MonitorSpec, SpecContext,
    SteeredModel, Turns,
};
use trimtab_steering::stack::{Lowered, Stack};

/// Whether text that was shown can be taken back where answers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    /// It cannot, so text is held back whatever the monitor says.
    Permanent,
    /// It can.
    Erasable,
}

/// A guard and what belongs to it.
pub struct Guarded {
    /// To be given to the generation.
    pub guard: Guard,
    /// What it finds and does.
    pub records: Records,
    /// To be put into the request: the guard counts against the same.
    pub retries: RetryBudget,
    /// What is done to the model on a retry, where that is something else.
    pub retry: Option<Lowered>,
}

/// What watches answers, and how much is told of it.
pub struct Watching {
    spec: MonitorSpec,
    model: SteeredModel,
    vectors: BTreeMap<String, Arc<LoadedVector>>,
    policies: BTreeMap<String, Arc<Policy>>,
    library: GuardLibrary,
    dose: DoseLimit,
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
        let mut spec = read(path)?;
        if display == Display::Permanent {
            spec.stream = Some(Stream::Hold);
        }
        let library = GuardLibrary::new(opened.model.clone());
        let mut all = BuiltIn::policies();
        let own = policies(&plan.policies)?;
        all.extend(own.into_iter().map(|policy| (policy.name().to_owned(), policy)));
        let judged: Vec<Arc<Policy>> =
            spec.policies().into_iter().filter_map(|name| all.get(name).cloned()).collect();
        let folder = if judged.is_empty() { None } else { Some(folder_of_state(None)?) };
        prepare(&judged, folder.as_deref(), console, &library)?;
        let model = SteeredModel::of(&opened.model)?;
        let vectors = vectors(&plan.vectors, &model)?;
        let (policies, telling) = (all, plan.telling);
        let watching = Watching { spec, model, vectors, policies, library, dose, telling };
        watching.guard(Some(""), &Steering::none(), 0).map_err(Error::within(path))?;
        Ok(Some(watching))
    }

    /// The guard of an answer. The request is what the user wants, in words; `None` of a text that is continued.
    pub fn guard(&self, request: Option<&str>, steering: &Steering, seed: u64) -> Result<Guarded> {
        let Watching { spec, model, vectors, policies, library, dose, .. } = self;
        // The answer's own vectors keep the lengths that they were held against.
        let mut model = model.clone();
        model.norms.extend(steering.lengths());
        let context = SpecContext { model: &model, vectors, policies, prompt: None };
        let empty = Stack::new(*dose);
        let stack = if steering.is_empty() { &empty } else { steering.stack() };
        let monitor = context.monitor(spec).and_then(|monitor| monitor.beside(context, stack));
        let monitor = monitor.map_err(refused)?;
        let terms = GuardTerms {
            library,
            request: request.unwrap_or_default(),
            turns: if request.is_some() { Turns::Template } else { Turns::Plain },
            seed,
            steered: steering.lowered(),
            limit: *dose,
        };
        let (guard, records) = monitor.guard(&terms).map_err(refused)?;
        Ok(Guarded { guard, records, retries: monitor.retries(), retry: monitor.retry })
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

/// Where a monitor would stand in a request.
fn refused(fault: FieldError) -> Error {
    fault.under("steering.monitor").into()
}

/// The monitor of a file.
fn read(path: &Path) -> Result<MonitorSpec> {
    json::read(&read_data(path)?, JsonLimits::NONE).map_err(|error| match error.kind {
        JsonErrorKind::Syntax => {
            let problem = error.problem.rsplit_once(" at line ").map_or("", |(text, _)| text);
            let told = format!("{} line {} {problem}", path.display(), error.line);
            Error::usage("--monitor", told)
        }
        _ => {
            let fault = FieldError::value(error.dotted(), error.problem);
            Error::within(path)(fault.into())
        }
    })
}

/// The vectors that a monitor may name.
fn vectors(named: &[Named], model: &SteeredModel) -> Result<BTreeMap<String, Arc<LoadedVector>>> {
    let load = |Named { id, path }: &Named| {
        let loaded = LoadedVector::read(id, &bytes(path)?, &model.pin, AdmitTerms::default());
        Ok((id.clone(), Arc::new(loaded.map_err(|fault| fault.under(id))?)))
    };
    named.iter().map(load).collect()
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
