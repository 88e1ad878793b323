//! What guards need of the model and is the same for every answer: notes as tokens, notes as pushes, courts.
//!
//! Notes are made ready when a request first needs them, and kept. A judge has to be measured on hundreds of texts, so it
//! is there from the start or not at all. The keys are policies, of which an operator has few.

use super::monitor::{PerceiverKind, WatchSpec};
use super::refusal::FieldError;
use crate::error::Result;
use crate::monitor::guard::Guides;
use crate::monitor::guidance::{Asides, vector};
use crate::monitor::policy::Policy;
use crate::monitor::scorer::{
    Calibration, Form, Judge, Judging, MARGIN, MOST_UNKNOWN, Parser, Wording,
};
use crate::monitor::{Detector, Duty};
use crate::neutral;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use trimtab_runtime::Model;

/// In which form a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turns {
    /// Turns of a template.
    Template,
    /// A text that is continued.
    Plain,
}

/// A place for one thing.
type Place<T> = Arc<Mutex<Option<Arc<T>>>>;

/// One thing for each key, made once.
struct Once<K, T>(Mutex<BTreeMap<K, Place<T>>>);

impl<K: Ord, T> Default for Once<K, T> {
    fn default() -> Self {
        Once(Mutex::default())
    }
}

impl<K: Ord, T> Once<K, T> {
    /// What is there, or what is made; a caller with another key does not wait for it.
    fn get(&self, key: K, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let place = {
            let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            places.entry(key).or_default().clone()
        };
        let mut there = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = there.as_ref() {
            return Ok(there.clone());
        }
        let made = Arc::new(make()?);
        *there = Some(made.clone());
        Ok(made)
    }
}

impl Court {
    /// Refuses to let a judge stop answers that cannot tell harmless ones.
    fn admits(&self, duty: Duty, margin: f64) -> Result<(), FieldError> {
        if duty == Duty::Advisory || self.calibration.allows_mandatory(margin) {
            return Ok(());
        }
        let (unknown, most) = (self.calibration.unknown_rate(margin), MOST_UNKNOWN);
        let problem = format!(
            "is mandatory, and this model cannot tell {:.0} % of harmless texts, expected at most {:.0} %; use advisory",
            unknown * 100.0,
            most * 100.0,
        );
        Err(FieldError::value("guard", problem))
    }
}

/// What it takes to judge answers under one policy.
struct Court {
    policy: Arc<Policy>,
    calibration: Calibration,
    form: Arc<Form>,
    parser: Arc<Form>,
}

/// What guards need of the model.
pub struct GuardLibrary {
    model: Arc<Model>,
    asides: Once<(String, Turns), Asides>,
    guides: Once<String, Guides>,
    /// By the digest of their policy.
    courts: RwLock<BTreeMap<String, Arc<Court>>>,
}

impl GuardLibrary {
    /// Of a model, with nothing made yet.
    pub fn new(model: Arc<Model>) -> GuardLibrary {
        GuardLibrary {
            model,
            asides: Once::default(),
            guides: Once::default(),
            courts: RwLock::default(),
        }
    }

    /// How many blocks the model has.
    pub(super) fn blocks(&self) -> usize {
        self.model.decoder().spec().n_layers()
    }

    /// Makes ready to judge under a policy: what its labels mean on this build is taken from a folder or measured. Says which
    /// share of harmless texts it cannot tell. `progress` hears how many texts of how many were read.
    pub fn calibrate(
        &self,
        policy: &Arc<Policy>,
        folder: Option<&Path>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<f64> {
        let form = Arc::new(Form::new(&self.model, Wording::scorer(policy))?);
        let calibration = match folder {
            Some(folder) => Calibration::obtain(folder, &form, policy, progress)?,
            None => Calibration::measure(&form, policy, progress)?,
        };
        let unknown = calibration.unknown_rate(MARGIN);
        let parser = Parser::form(&self.model, policy)?;
        let court = Court { policy: policy.clone(), calibration, form, parser };
        let mut courts = self.courts.write().unwrap_or_else(PoisonError::into_inner);
        courts.insert(policy.digest(), Arc::new(court));
        Ok(unknown)
    }

    /// A judge of one answer.
    pub(super) fn judge(
        &self,
        policy: &Policy,
        spec: &WatchSpec,
        (request, seed): (&str, u64),
    ) -> Result<Box<dyn Detector>, FieldError> {
        let courts = self.courts.read().unwrap_or_else(PoisonError::into_inner);
        let court = courts.get(&policy.digest()).cloned();
        drop(courts);
        let court = court.ok_or_else(|| {
            let name = policy.name();
            let problem = format!(
                "is {name}, which is not calibrated here; start the server with --policy {name}"
            );
            FieldError::value("policy", problem)
        })?;
        let margin = f64::from(spec.margin.unwrap_or_default());
        let told = |e| FieldError::at(e, "policy");
        if spec.perceiver == Some(PerceiverKind::Parse) {
            let parser = Parser::new(&court.parser, &court.policy, request, seed);
            return Ok(Box::new(parser.map_err(told)?));
        }
        court.admits(spec.guard.unwrap_or_default(), margin)?;
        let judging = Judging { margin, ..Judging::default() };
        let judge =
            Judge::new(court.form.clone(), &court.policy, court.calibration.clone(), judging);
        let scorer = judge.and_then(|judge| judge.scorer(request, seed));
        Ok(Box::new(scorer.map_err(told)?))
    }

    /// The notes of a policy as tokens.
    pub(super) fn asides(&self, policy: &Policy, turns: Turns) -> Result<Arc<Asides>> {
        self.asides.get((policy.digest(), turns), || match turns {
            Turns::Template => Asides::new(&self.model, policy.catalogue()),
            Turns::Plain => Asides::plain(&self.model, policy.catalogue()),
        })
    }

    /// The notes of a policy as pushes.
    pub(super) fn guides(&self, policy: &Policy) -> Result<Arc<Guides>> {
        let doses = (vector::DOSE, vector::MOST);
        let neutral = neutral::Text::tune();
        self.guides
            .get(policy.digest(), || Guides::new(&self.model, policy.catalogue(), neutral, doses))
    }
}
