//! What guards need of the model and is the same for every answer: notes as tokens, notes as pushes.
//!
//! It is made when somebody first asks for it, and kept. The keys are policies, of which an operator has few.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use trimtab_runtime::Model;
use trimtab_steering::monitor::guard::Guides;
use trimtab_steering::monitor::guidance::{Asides, vector};
use trimtab_steering::monitor::policy::Policy;
use trimtab_steering::{Error, neutral};

/// In which form a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turns {
    /// Turns of a template.
    Template,
    /// Text alone.
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

/// What guards need of the model.
pub(crate) struct Library {
    pub(super) model: Arc<Model>,
    asides: Once<(String, Turns), Asides>,
    guides: Once<String, Guides>,
}

impl Library {
    /// Of a model, with nothing made yet.
    pub(crate) fn new(model: Arc<Model>) -> Library {
        Library { model, asides: Once::default(), guides: Once::default() }
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
