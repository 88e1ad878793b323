//! Reads a policy, runs it through every state, and lists its labels with the tokens the scorer asks for.

use super::args::{PolicyArgs, PolicyCommand};
use crate::commands::opened::{Opened, head, open};
use crate::commands::table::markdown;
use crate::console::Console;
use crate::document::Fields;
use crate::error::{Error, Result};
use crate::flags::model::if_named;
use std::collections::BTreeMap;
use std::path::Path;
use trimtab_steering::monitor::guidance::aside::{self, MOST_TOKENS};
use trimtab_steering::monitor::guidance::{Level, axis_key};
use trimtab_steering::monitor::policy::check::{Check, Standing, check};
use trimtab_steering::monitor::policy::{Axis, BuiltIn, Caps, Policy, State, action_name};

/// A note of the policy's guidance.
struct Note<'a> {
    axis: &'static str,
    level: usize,
    text: &'a str,
    /// Tokens of the aside, turns included; known with a model only.
    tokens: Option<usize>,
}

/// Explains a policy; one that the named model cannot use fails the command.
pub fn run(args: PolicyArgs, console: &Console) -> Result<()> {
    let PolicyCommand::Check { policy, model } = args.command;
    let opening = if_named(*model)?;
    let policy = named(&policy)?;
    let base = Policy::built_in(BuiltIn::Default)?;
    let opened = opening.map(|opening| open(&opening, console)).transpose()?;
    let guidance = notes(&policy, opened.as_ref())?;
    let mut checks = check(&policy);
    checks.extend(opened.is_some().then(|| fit(&guidance)));
    let broken: Vec<&str> =
        checks.iter().filter(|c| c.standing == Standing::Broken).map(|c| c.name).collect();
    let head = head("policy check", opened.as_ref());
    match console.is_json() {
        true => console.print(&document(head, (&policy, &base), &guidance, &checks))?,
        false => console.say(&shown((&policy, &base), &guidance, &checks))?,
    }
    if broken.is_empty() { Ok(()) } else { Err(Error::Check { failed: broken.join(", ") }) }
}

/// A built-in policy or a file; a word that is neither is more likely a name that was mistyped.
fn named(word: &str) -> Result<Policy> {
    let path = Path::new(word);
    if BuiltIn::named(word).is_none() && path.extension().is_none() && !path.exists() {
        let problem = format!("is {word:?}, expected default, strict, paper or a policy file");
        return Err(Error::usage("POLICY", problem));
    }
    Ok(Policy::open(word)?)
}

fn document(
    head: Fields,
    (policy, base): (&Policy, &Policy),
    guidance: &[Note],
    checks: &[Check],
) -> Fields {
    let principles = Axis::ALL.map(|axis| {
        let principle = policy.principle(axis);
        Fields::new("axis", axis.letter())
            .with("name", &principle.name)
            .with("question", &principle.question)
    });
    let actions = State::all().map(|state| {
        Fields::new("state", state.to_string())
            .with("feasible", state.is_feasible())
            .with("flag", state.flag().letter())
            .with("first_violated", state.first_violated().map(Axis::letter))
            .with("action", action_name(policy.action(state)))
            .with("default", action_name(base.action(state)))
    });
    let notes = guidance.iter().map(|note| {
        Fields::new("axis", note.axis)
            .with("level", note.level)
            .with("text", note.text)
            .with("tokens", note.tokens)
    });
    let [rollback, action] = needs(policy);
    head.with("policy", policy.name())
        .with("sha256", policy.digest())
        .with("principles", principles)
        .with("actions", actions.collect::<Vec<_>>())
        .with("needs", Fields::new("rollback", rollback).with("action", action))
        .with("caps", policy.caps())
        .with("guidance", notes.collect::<Vec<_>>())
        .with("refusal", policy.refusal())
        .with("checks", checks)
}

/// The axes that have to be judged to know whether to roll back, and to know the action; the first first.
fn needs(policy: &Policy) -> [Vec<&'static str>; 2] {
    let needs = policy.needs();
    [needs.rollback, needs.action].map(|last| {
        let asked = Axis::ALL.into_iter().filter(|axis| Some(*axis) <= last);
        asked.map(Axis::letter).collect()
    })
}

fn notes<'a>(policy: &'a Policy, opened: Option<&Opened>) -> Result<Vec<Note<'a>>> {
    let mut notes = Vec::new();
    for axis in Axis::ALL.map(Some).into_iter().chain([None]) {
        for level in Level::ALL {
            let text = policy.catalogue().note(axis, level);
            let tokens = opened.map(|opened| aside::tokens(&opened.model, text)).transpose()?;
            let tokens = tokens.map(|tokens| tokens.len());
            notes.push(Note { axis: axis_key(axis), level: level.number(), text, tokens });
        }
    }
    Ok(notes)
}

/// Whether every aside fits in its limit on the named model.
fn fit(guidance: &[Note]) -> Check {
    let count = |note: &Note| note.tokens.unwrap_or_default();
    let long = guidance.iter().filter(|note| count(note) > MOST_TOKENS);
    let long: Vec<String> =
        long.map(|n| format!("guidance.{}.{} has {}", n.axis, n.level, count(n))).collect();
    let name = "aside_tokens";
    if long.is_empty() {
        let most = guidance.iter().map(count).max().unwrap_or_default();
        let found = format!("at most {most} tokens, {MOST_TOKENS} are allowed");
        return Check { name, standing: Standing::Fine, found };
    }
    let found = format!("{}; at most {MOST_TOKENS} tokens are allowed", long.join(", "));
    Check { name, standing: Standing::Broken, found }
}

/// A policy for people.
fn shown((policy, base): (&Policy, &Policy), guidance: &[Note], checks: &[Check]) -> String {
    let principles = Axis::ALL.map(|axis| {
        let principle = policy.principle(axis);
        format!("{}  {}: {}\n", axis.letter(), principle.name, principle.question)
    });
    let (name, sha256, principles) = (policy.name(), policy.digest(), principles.concat());
    let note = |note: &Note| {
        let tokens = note.tokens.map_or("-".to_owned(), |tokens| tokens.to_string());
        [note.axis.to_owned(), note.level.to_string(), tokens, note.text.to_owned()]
    };
    let check = |check: &Check| {
        [check.name.to_owned(), check.standing.name().to_owned(), check.found.clone()]
    };
    [
        format!("policy   {name}\nsha256   {sha256}\n\n{principles}"),
        table(policy, base),
        differences(policy, base),
        format!("{}{}refusal  {}\n", asked(policy), capped(policy.caps()), policy.refusal()),
        markdown("guidance;>level;>tokens;text", guidance.iter().map(note)) + "\n",
        markdown("check;is;found", checks.iter().map(check)) + "\n",
    ]
    .join("\n")
}

fn table(policy: &Policy, base: &Policy) -> String {
    let mut number = 0;
    let lines = State::all().map(|state| {
        let feasible = state.is_feasible();
        number += usize::from(feasible);
        let place = if feasible { number.to_string() } else { "-".to_owned() };
        let flag = if feasible { state.flag().letter() } else { "infeasible" };
        let [action, other] = [policy, base].map(|policy| action_name(policy.action(state)));
        let other = if action == other { "" } else { other };
        let violated = state.first_violated().map_or("-", Axis::letter);
        [&place, &state.to_string(), flag, violated, action, other].map(str::to_owned)
    });
    markdown(">#;(S,A,E);flag;first violated;action;default", lines) + "\n"
}

fn differences(policy: &Policy, base: &Policy) -> String {
    let mut moves: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for state in State::all() {
        let [from, to] = [base, policy].map(|policy| action_name(policy.action(state)));
        if from != to {
            moves.entry((from, to)).or_default().push(state.to_string());
        }
    }
    if moves.is_empty() {
        return "against default: every row is the same\n".to_owned();
    }
    let told = moves.iter().map(|((from, to), states)| {
        format!("against default: {from} becomes {to} in {}\n", states.join(" "))
    });
    told.collect()
}

fn asked(policy: &Policy) -> String {
    let [rollback, action] = needs(policy).map(|axes| match axes.as_slice() {
        [] => "nothing, it is the same in every state".to_owned(),
        [one] => format!("{one} alone"),
        all => all.join(", "),
    });
    format!("asks     {rollback} to know whether to roll back; {action} to know the action\n")
}

fn capped(caps: &Caps) -> String {
    let Caps { rewinds, discarded, perceiver_per_token, perceiver_free, time_factor } = caps;
    format!(
        "caps     {rewinds} rewinds, {discarded} discarded tokens, {perceiver_per_token} perceiver tokens a token and \
         {perceiver_free} more, {time_factor} times the time\n"
    )
}
