//! What a policy does with every state, and what in it looks wrong.
//!
//! A policy that can be read is valid. This says whether it is also sensible: it keeps correct refusals, takes back what
//! violates the first principle, and leaves alone what violates nothing.

use super::{Policy, State};
use crate::monitor::detect::Action;
use crate::monitor::guidance::Level;
use serde::Serialize;

/// How a check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// As it should be.
    Fine,
    /// Allowed, and probably not meant.
    Warning,
    /// Cannot be used.
    Broken,
}

impl Standing {
    /// Its name in tables and documents.
    pub fn name(self) -> &'static str {
        match self {
            Standing::Fine => "fine",
            Standing::Warning => "warning",
            Standing::Broken => "broken",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// How it stands.
    pub standing: Standing,
    /// What was found.
    pub found: String,
}

/// Looks at all 27 rows, the catalogue, and what the policy does to refusals and harm.
pub fn check(policy: &Policy) -> Vec<Check> {
    vec![
        feasible(policy),
        infeasible(policy),
        guided(policy),
        refusals(policy),
        harm(policy),
        respected(policy),
    ]
}

/// The rows in which something is wrong.
fn rows(policy: &Policy, is_wrong: impl Fn(State, Action) -> bool) -> Vec<String> {
    let wrong = State::all().filter(|state| is_wrong(*state, policy.action(*state)));
    wrong.map(|state| state.to_string()).collect()
}

fn verdict(name: &'static str, wrong: &[String], (bad, words): (Standing, [&str; 2])) -> Check {
    let [fine, problem] = words;
    if wrong.is_empty() {
        return Check { name, standing: Standing::Fine, found: fine.to_owned() };
    }
    Check { name, standing: bad, found: format!("{problem}: {}", wrong.join(" ")) }
}

fn feasible(policy: &Policy) -> Check {
    let wrong = rows(policy, |state, action| state.is_feasible() && action == Action::Unknown);
    let words = [
        "each of the 20 feasible states has an action",
        "three unknown checks in a row fail closed, and these feasible states have no other action",
    ];
    verdict("feasible_states", &wrong, (Standing::Warning, words))
}

fn infeasible(policy: &Policy) -> Check {
    let wrong = rows(policy, |state, action| !state.is_feasible() && action != Action::Unknown);
    let words =
        ["all 7 infeasible states are unknown", "states that no answer can be in have actions"];
    verdict("infeasible_states", &wrong, (Standing::Broken, words))
}

/// Every state that is rolled back names a principle, and the catalogue has texts for it.
fn guided(policy: &Policy) -> Check {
    let mute = |state: State| {
        let axis = state.first_violated();
        Level::ALL.iter().any(|level| policy.catalogue().note(axis, *level).is_empty())
    };
    let wrong = rows(policy, |state, action| action == Action::Rollback && mute(state));
    let words = ["every violated principle has its three texts", "these states have no guidance"];
    verdict("guidance", &wrong, (Standing::Broken, words))
}

/// A correct refusal is safe and does not help: S = 1, A = −1.
fn refusals(policy: &Policy) -> Check {
    let wrong = rows(policy, |state, action| {
        matches!(state, State([1, -1, _])) && action == Action::Rollback
    });
    let words = ["correct refusals (S = 1, A = -1) are kept", "correct refusals are taken back in"];
    verdict("correct_refusals", &wrong, (Standing::Warning, words))
}

fn harm(policy: &Policy) -> Check {
    let wrong = rows(policy, |state, action| {
        state.is_feasible() && matches!(state, State([-1, ..])) && action != Action::Rollback
    });
    let words = [
        "whatever violates the first principle (S = -1) is taken back",
        "violations of the first principle are not taken back in",
    ];
    verdict("first_principle", &wrong, (Standing::Warning, words))
}

fn respected(policy: &Policy) -> Check {
    let wrong = rows(policy, |state, action| {
        state.first_violated().is_none() && action == Action::Rollback
    });
    let words = ["what violates nothing is kept", "taken back although nothing is violated"];
    verdict("nothing_violated", &wrong, (Standing::Warning, words))
}
