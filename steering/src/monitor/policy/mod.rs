//! Policies: what is done in which state, under which principles, with which words and within which caps.
//!
//! A policy is data: a TOML file, or one of three that ship with the program and are written in the same format. What a file
//! may say is decided when it is read, so a [`Policy`] that exists has an action for every state, three texts for every axis,
//! and caps within their ranges. What is allowed and still looks wrong is [`check`]'s to say.

pub mod check;
mod file;
mod state;

#[cfg(test)]
mod tests;

pub use file::{FILE_LIMIT, REFUSAL_CHARS, TEXT_CHARS};
pub use state::{Axis, Flag, NoState, STATES, State};

use super::detect::Action;
use super::guidance::{Catalogue, Level};
use crate::error::{Error, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A policy that ships with the program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum BuiltIn {
    /// Takes back what violates the first principle; a correct refusal is only watched.
    #[default]
    Default,
    /// Also takes back what violates a lower principle while a higher one is undecided.
    Strict,
    /// Takes back every violation, as the method's text says.
    Paper,
}

impl BuiltIn {
    /// All of them.
    pub const ALL: [BuiltIn; 3] = [BuiltIn::Default, BuiltIn::Strict, BuiltIn::Paper];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            BuiltIn::Default => "default",
            BuiltIn::Strict => "strict",
            BuiltIn::Paper => "paper",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<BuiltIn> {
        BuiltIn::ALL.into_iter().find(|one| one.name() == name)
    }

    /// All of them, read, by their names.
    pub fn policies() -> BTreeMap<String, Arc<Policy>> {
        let named = |which: BuiltIn| {
            Some((which.name().to_owned(), Arc::new(Policy::built_in(which).ok()?)))
        };
        BuiltIn::ALL.into_iter().filter_map(named).collect()
    }

    /// Its file.
    pub fn source(self) -> &'static str {
        match self {
            BuiltIn::Default => include_str!("../../../../steering/data/policies/default.toml"),
            BuiltIn::Strict => include_str!("../../../../steering/data/policies/strict.toml"),
            BuiltIn::Paper => include_str!("../../../../steering/data/policies/paper.toml"),
        }
    }
}

/// A ranked principle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principle {
    /// What people call it.
    pub name: String,
    /// What the scorer asks of an answer; yes means satisfied.
    pub question: String,
}

/// What monitoring may cost. The cap that is hit first ends the answer as exhaustion does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Caps {
    /// Rewinds of one answer, 0 to 10.
    pub rewinds: u32,
    /// Tokens taken back from one answer, 0 to 4,096.
    pub discarded: usize,
    /// Tokens a perceiver may read for each token of the answer, its fixed prompt apart, 0 to 64.
    pub perceiver_per_token: usize,
    /// Tokens it may read besides, 0 to 4,096.
    pub perceiver_free: usize,
    /// The answer's time over what it would take without monitors, 1 to 100.
    pub time_factor: f64,
}

impl Default for Caps {
    fn default() -> Caps {
        Caps {
            rewinds: 4,
            discarded: 256,
            perceiver_per_token: 4,
            perceiver_free: 64,
            time_factor: 2.0,
        }
    }
}

impl Caps {
    /// How many tokens a perceiver may have read, its fixed prompt apart, for an answer of this length.
    pub fn perceiver_tokens(&self, answer: usize) -> usize {
        self.perceiver_per_token.saturating_mul(answer).saturating_add(self.perceiver_free)
    }
}

/// On which axes a policy's decisions depend, over the feasible states.
///
/// Axes are judged in rank order, so a decision that needs an axis needs those above it too. `None` means that the
/// decision is the same in every state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// The lowest axis that whether to roll back depends on. `Some(Axis::Safety)`: S alone decides it.
    pub rollback: Option<Axis>,
    /// The lowest axis that the action as a whole depends on.
    pub action: Option<Axis>,
}

impl Needs {
    /// Whether the first axis alone decides about rollbacks, so that a lazy scorer may ask nothing else.
    pub fn rollback_is_decided_by_the_first(&self) -> bool {
        self.rollback <= Some(Axis::Safety)
    }
}

/// Ranked principles, an action for every state, guidance, caps and the words of a refusal.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    name: String,
    principles: [Principle; 3],
    /// In the order of [`State::all`].
    actions: [Action; STATES],
    caps: Caps,
    catalogue: Catalogue,
    refusal: String,
}

impl Policy {
    /// One that ships with the program.
    pub fn built_in(which: BuiltIn) -> Result<Policy> {
        Policy::parse(which.source())
    }

    /// A policy by what users write: the name of a built-in one, or a file. A built-in name wins over a file of that name.
    pub fn open(name_or_file: &str) -> Result<Policy> {
        match BuiltIn::named(name_or_file) {
            Some(which) => Policy::built_in(which),
            None => Policy::read(Path::new(name_or_file)),
        }
    }

    /// A policy file.
    pub fn read(path: &Path) -> Result<Policy> {
        file::read(path)
    }

    /// The text of a policy file.
    pub fn parse(text: &str) -> Result<Policy> {
        file::parse(text)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The principles, first rank first.
    pub fn principles(&self) -> &[Principle; 3] {
        &self.principles
    }

    /// The principle of an axis.
    pub fn principle(&self, axis: Axis) -> &Principle {
        let [first, second, third] = &self.principles;
        match axis {
            Axis::Safety => first,
            Axis::Altruism => second,
            Axis::Egoism => third,
        }
    }

    /// What is done in a state: `unknown` in one that no answer can be in.
    pub fn action(&self, state: State) -> Action {
        let row = state.index().and_then(|index| self.actions.get(index));
        row.copied().unwrap_or(Action::Unknown)
    }

    /// The states that it rolls back, in table order.
    pub fn rollback_states(&self) -> Vec<State> {
        State::feasible().filter(|state| self.action(*state) == Action::Rollback).collect()
    }

    /// On which axes its decisions depend.
    pub fn needs(&self) -> Needs {
        Needs {
            rollback: deciding(|state| self.action(state) == Action::Rollback),
            action: deciding(|state| self.action(state)),
        }
    }

    /// What monitoring may cost.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// What the model is told when it is to try again.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The reply once no attempt is left.
    pub fn refusal(&self) -> &str {
        &self.refusal
    }

    /// SHA-256 of everything but the name, in lower-case hexadecimal: two files that mean the same have the same.
    pub fn digest(&self) -> String {
        let mut all = Parts::new("trimtab.policy.1");
        self.judging_parts(&mut all);
        let Caps { rewinds, discarded, perceiver_per_token, perceiver_free, time_factor } =
            self.caps;
        all.text(&format!("{rewinds} {discarded} {perceiver_per_token} {perceiver_free}"));
        all.text(&format!("{:016x}", time_factor.to_bits()));
        for axis in Axis::ALL.map(Some).into_iter().chain([None]) {
            Level::ALL.iter().for_each(|level| all.text(self.catalogue.note(axis, *level)));
        }
        all.text(&self.refusal);
        all.finish()
    }

    /// SHA-256 of what verdicts depend on alone, principles and actions: the key of a scorer's calibration.
    pub fn judging_digest(&self) -> String {
        let mut all = Parts::new("trimtab.policy.judging.1");
        self.judging_parts(&mut all);
        all.finish()
    }

    fn judging_parts(&self, parts: &mut Parts) {
        for Principle { name, question } in &self.principles {
            parts.text(name);
            parts.text(question);
        }
        self.actions.iter().for_each(|action| parts.text(action_name(*action)));
    }
}

/// An action as files and tables spell it.
pub fn action_name(action: Action) -> &'static str {
    match action {
        Action::Continue => "continue",
        Action::Watch => "watch",
        Action::Unknown => "unknown",
        Action::Rollback => "rollback",
    }
}

/// The lowest axis that a function of feasible states depends on, given those above it.
fn deciding<T: PartialEq>(of: impl Fn(State) -> T) -> Option<Axis> {
    let agrees = |known: usize| {
        let same = |a: &State, b: &State| a.0.iter().take(known).eq(b.0.iter().take(known));
        let feasible: Vec<State> = State::feasible().collect();
        feasible.iter().all(|a| {
            let mut group = feasible.iter().filter(|b| same(a, b));
            group.all(|b| of(*a) == of(*b))
        })
    };
    let known = (0..=Axis::ALL.len()).find(|known| agrees(*known))?;
    Axis::ALL.get(known.checked_sub(1)?).copied()
}

/// A hash of texts that no other list of texts has.
struct Parts(Sha256);

impl Parts {
    fn new(label: &str) -> Parts {
        let mut parts = Parts(Sha256::new());
        parts.text(label);
        parts
    }

    /// The length as u64 LE, then the bytes.
    fn text(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }

    fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What is wrong with a key of a policy, and what to do.
pub(crate) fn flaw(key: impl Into<String>, problem: impl Into<String>) -> Error {
    Error::Policy { key: key.into(), problem: problem.into() }
}
