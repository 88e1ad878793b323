//! Guards for answers that no server gives: the API's monitor object, read once, for programs that run a model themselves.

use crate::refusal::Refusal;
use crate::steer::{
    About, Forgetful, Frame, Guards, Library, Setup, Steering, StoredVector, Turns,
};
use crate::wire;
use crate::wire::monitor::{Monitor, Stream};
use std::path::Path;
use std::sync::Arc;
use trimtab_runtime::Model;
use trimtab_runtime::generate::RetryBudget;
use trimtab_runtime::plan::Plan;
use trimtab_steering::compose::dose::DoseLimit;
use trimtab_steering::monitor::policy::Policy;
use trimtab_steering::monitor::{Guard, Records};
use trimtab_steering::stack::{Applied, Lowered};

/// Whether text that was shown can be taken back where answers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    /// It cannot, so text is held back whatever the object says.
    Permanent,
    /// It can.
    Erasable,
}

/// A monitor object that was found to be usable, with what its guards need of the model.
pub struct Guarding {
    steering: Steering,
    library: Library,
    asked: wire::steering::Steering,
}

/// An answer that is to be guarded.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// What the user wants, in words, for whoever judges the answer; `None` of a text that is continued.
    pub request: Option<&'a str>,
    /// What is done to the model.
    pub steered: &'a Lowered,
    /// Keys the answer's draws.
    pub seed: u64,
}

/// A guard and what belongs to it.
pub struct Guarded {
    /// To be given to the generation.
    pub guard: Guard,
    /// What it finds and does.
    pub records: Records,
    /// To be put into the request: the guard counts against the same.
    pub retries: RetryBudget,
    /// The vectors of a retry, those of the answer before them; empty where a retry has none of its own.
    pub retry: Vec<Applied>,
    /// What is to be known about them.
    pub warnings: Vec<String>,
}

/// A model and the policies that its answers can be judged by.
pub struct Desk {
    model: Arc<Model>,
    setup: Setup,
    library: Library,
}

impl Desk {
    /// With the policies that ship with the program, none of which the model can judge by yet.
    pub fn new(model: Arc<Model>) -> Desk {
        Desk { library: Library::new(model.clone()), setup: Setup::default(), model }
    }

    /// The same, where vectors may push so hard.
    pub fn within(mut self, dose: DoseLimit) -> Desk {
        self.setup.dose = dose;
        self
    }

    /// The policy of a name, if there is one.
    pub fn policy(&self, name: &str) -> Option<Arc<Policy>> {
        self.setup.policies.get(name).cloned()
    }

    /// Lets monitors name a policy.
    pub fn add(&mut self, policy: Arc<Policy>) {
        self.setup.policies.insert(policy.name().to_owned(), policy);
    }

    /// Makes the model ready to judge by a policy, with what an earlier run left in the folder if it did. `progress` hears how
    /// many texts of how many are read. Gives the share of harmless texts that it cannot tell.
    pub fn prepare(
        &self,
        policy: &Arc<Policy>,
        folder: Option<&Path>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<f64, Refusal> {
        Ok(self.library.calibrate(policy, folder, progress)?)
    }
}

impl Guarding {
    /// Reads a monitor object, a JSON document, and makes sure that it can act on this model with these vectors.
    ///
    /// Policies that its watches judge by must have been [`prepared`](Desk::prepare).
    pub fn new(
        desk: Desk,
        document: &[u8],
        (vectors, display): (Vec<StoredVector>, Display),
    ) -> Result<Guarding, Refusal> {
        let Desk { model, setup, library } = desk;
        let mut monitor: Monitor = wire::read(document)?;
        if display == Display::Permanent {
            monitor.stream = Some(Stream::Hold);
        }
        let steering = Steering::new(Frame::of(&model)?, setup, Forgetful);
        if let Some((_, refusal)) = steering.restore(vectors, None).into_iter().next() {
            return Err(refusal);
        }
        let asked = wire::steering::Steering { monitor: Some(monitor), ..Default::default() };
        let guarding = Guarding { steering, library, asked };
        let steered = &Lowered::default();
        guarding.guard(&Answered { request: Some(""), steered, seed: 0 })?;
        Ok(guarding)
    }

    /// The guard of one answer.
    pub fn guard(&self, answered: &Answered<'_>) -> Result<Guarded, Refusal> {
        let mut resolved = self.steering.now().resolve(Some(&self.asked), None, Some(&[]))?;
        let Lowered { plan, applied, .. } = answered.steered;
        resolved.plan = plan.clone();
        resolved.beside(&answered.steered.site_doses())?;
        let mut rows = Vec::new();
        // What steers an answer steers its retries too.
        if let Some(retry) = resolved.monitor.as_mut().and_then(|monitor| monitor.retry.as_mut()) {
            let items = plan.items();
            let more = retry.vectors.iter().cloned().map(|vector| vector.behind(items.len()));
            rows = applied.iter().cloned().chain(more).collect();
            retry.plan = Plan::from_shared(items.iter().chain(retry.plan.items()).cloned());
        }
        let about = About {
            library: &self.library,
            request: answered.request.unwrap_or_default(),
            turns: if answered.request.is_some() { Turns::Template } else { Turns::Plain },
            seed: answered.seed,
        };
        let mut guards = Guards::default();
        let guard = resolved.guard(&about, &mut guards)?;
        match (guard, guards.into_first()) {
            (Some(guard), Some(records)) => {
                let (retries, warnings) = (resolved.retries(), resolved.warnings);
                Ok(Guarded { guard, records, retries, retry: rows, warnings })
            }
            _ => Err(Refusal::invalid("monitor", "is missing")),
        }
    }
}
