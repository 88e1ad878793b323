//! What guards need of the model and is the same for every answer: notes as tokens, notes as pushes, courts.
//!
//! Notes are made ready when a request first needs them, and kept. A judge has to be measured on hundreds of texts, so it
//! is there from the start or not at all. The keys are policies, of which an operator has few.

use super::super::field_error::FieldError;
use super::guard::About;
use crate::wire::monitor::{Guard, PerceiverKind, Watch};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use trimtab_runtime::Model;
use trimtab_steering::monitor::Detector;
use trimtab_steering::monitor::guard::Guides;
use trimtab_steering::monitor::guidance::{Asides, vector};
use trimtab_steering::monitor::policy::Policy;
use trimtab_steering::monitor::scorer::{
    Calibration, Form, Judge, Judging, MARGIN, MOST_UNKNOWN, Parser, Wording,
};
use trimtab_steering::{Error, neutral};

/// In which form a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turns {
    /// Turns of a template.
    Template,
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
    /// What is there, or what is made; who wants another key does not wait for it.
    fn get(&self, key: K, make: impl FnOnce() -> Result<T, Error>) -> Result<Arc<T>, Error> {
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
    fn admits(&self, guard: Option<Guard>, margin: f64) -> Result<(), FieldError> {
        let mandatory = guard.unwrap_or_default() == Guard::Mandatory;
        if !mandatory || self.calibration.allows_mandatory(margin) {
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
pub(crate) struct Library {
    pub(super) model: Arc<Model>,
    asides: Once<(String, Turns), Asides>,
    guides: Once<String, Guides>,
    /// By the digest of their policy.
    courts: RwLock<BTreeMap<String, Arc<Court>>>,
}

impl Library {
    /// Of a model, with nothing made yet.
    pub(crate) fn new(model: Arc<Model>) -> Library {
        Library {
            model,
            asides: Once::default(),
            guides: Once::default(),
            courts: RwLock::default(),
        }
    }

    /// Makes ready to judge under a policy: what its labels mean on this build is taken from a folder or measured. Says which
    /// share of harmless texts it cannot tell.
    pub(crate) fn calibrate(
        &self,
        policy: &Arc<Policy>,
        folder: Option<&Path>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<f64, Error> {
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
        written: &Watch,
        about: &About<'_>,
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
        let margin = f64::from(written.margin.unwrap_or_default());
        let told = |e| FieldError::at(e, "policy");
        if written.perceiver == Some(PerceiverKind::Parse) {
            let parser = Parser::new(&court.parser, &court.policy, about.request, about.seed);
            return Ok(Box::new(parser.map_err(told)?));
        }
        court.admits(written.guard, margin)?;
        let judging = Judging { margin, ..Judging::default() };
        let judge =
            Judge::new(court.form.clone(), &court.policy, court.calibration.clone(), judging);
        let scorer = judge.and_then(|judge| judge.scorer(about.request, about.seed));
        Ok(Box::new(scorer.map_err(told)?))
    }

    /// The notes of a policy as tokens.
    pub(super) fn asides(&self, policy: &Policy, turns: Turns) -> Result<Arc<Asides>, Error> {
        self.asides.get((policy.digest(), turns), || match turns {
            Turns::Template => Asides::new(&self.model, policy.catalogue()),
            Turns::Plain => Asides::plain(&self.model, policy.catalogue()),
        })
    }

    /// The notes of a policy as pushes.
    pub(super) fn guides(&self, policy: &Policy) -> Result<Arc<Guides>, Error> {
        let doses = (vector::DOSE, vector::MOST);
        let neutral = neutral::Text::tune();
        self.guides
            .get(policy.digest(), || Guides::new(&self.model, policy.catalogue(), neutral, doses))
    }
}
