//! Reads a policy, runs it through every state, and lists its labels with the tokens the scorer asks for.

use super::args::{PolicyArgs, PolicyCommand};
use crate::commands::opened::{Opened, head, open};
use crate::commands::table::markdown;
use crate::console::Console;
use crate::document::Fields;
use crate::error::{Error, Result};
use crate::flags::model::if_named;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use trimtab_steering::monitor::guidance::aside::{self, MOST_TOKENS};
use trimtab_steering::monitor::guidance::{Level, axis_key};
use trimtab_steering::monitor::policy::check::{Check, Standing, check};
use trimtab_steering::monitor::policy::{Axis, BuiltIn, Caps, Policy, State, action_name};

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    head: Fields,
    policy: &'a str,
    sha256: String,
    principles: Vec<Principle<'a>>,
    actions: Vec<Row>,
    needs: Needs,
    caps: &'a Caps,
    guidance: Vec<Note<'a>>,
    refusal: &'a str,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Principle<'a> {
    axis: &'static str,
    name: &'a str,
    question: &'a str,
}

/// One of the 27 states.
#[derive(Serialize)]
struct Row {
    state: String,
    feasible: bool,
    flag: &'static str,
    first_violated: Option<&'static str>,
    action: &'static str,
    default: &'static str,
}

/// The axes that have to be judged, the first first.
#[derive(Serialize)]
struct Needs {
    rollback: Vec<&'static str>,
    action: Vec<&'static str>,
}

#[derive(Serialize)]
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
    let failed = broken.join(", ");
    let document = Document {
        head: head("policy check", opened.as_ref()),
        policy: policy.name(),
        sha256: policy.digest(),
        principles: principles(&policy),
        actions: State::all().map(|state| row(state, &policy, &base)).collect(),
        needs: needs(&policy),
        caps: policy.caps(),
        guidance,
        refusal: policy.refusal(),
        checks,
    };
    match console.is_json() {
        true => console.print(&document)?,
        false => console.say(&shown(&document))?,
    }
    if failed.is_empty() { Ok(()) } else { Err(Error::Check { failed }) }
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

fn principles(policy: &Policy) -> Vec<Principle<'_>> {
    let told = |axis: Axis| {
        let principle = policy.principle(axis);
        Principle { axis: axis.letter(), name: &principle.name, question: &principle.question }
    };
    Axis::ALL.map(told).into()
}

fn row(state: State, policy: &Policy, base: &Policy) -> Row {
    Row {
        state: state.to_string(),
        feasible: state.is_feasible(),
        flag: state.flag().letter(),
        first_violated: state.first_violated().map(Axis::letter),
        action: action_name(policy.action(state)),
        default: action_name(base.action(state)),
    }
}

fn needs(policy: &Policy) -> Needs {
    let down_to = |last: Option<Axis>| {
        let asked = Axis::ALL.into_iter().filter(|axis| Some(*axis) <= last);
        asked.map(Axis::letter).collect()
    };
    let needs = policy.needs();
    Needs { rollback: down_to(needs.rollback), action: down_to(needs.action) }
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
fn shown(document: &Document) -> String {
    let Document { policy, sha256, refusal, .. } = document;
    let principles = document
        .principles
        .iter()
        .map(|Principle { axis, name, question }| format!("{axis}  {name}: {question}\n"));
    let principles: String = principles.collect();
    [
        format!("policy   {policy}\nsha256   {sha256}\n\n{principles}"),
        table(&document.actions),
        differences(&document.actions),
        format!("{}{}refusal  {refusal}\n", asked(&document.needs), capped(&document.caps)),
        guidance(&document.guidance),
        findings(&document.checks),
    ]
    .join("\n")
}

fn table(rows: &[Row]) -> String {
    let mut number = 0;
    let lines = rows.iter().map(|row| {
        let feasible = row.feasible;
        number += usize::from(feasible);
        let place = if feasible { number.to_string() } else { "-".to_owned() };
        let flag = if feasible { row.flag } else { "infeasible" };
        let other = if row.action == row.default { "" } else { row.default };
        let violated = row.first_violated.unwrap_or("-");
        let words = [flag, violated, row.action, other].map(str::to_owned);
        [vec![place, row.state.clone()], words.to_vec()].concat()
    });
    let columns = ">#;(S,A,E);flag;first violated;action;default";
    format!("{}\n", markdown(columns, lines))
}

fn differences(rows: &[Row]) -> String {
    let mut moves: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.action != row.default) {
        moves.entry((row.default, row.action)).or_default().push(&row.state);
    }
    if moves.is_empty() {
        return "against default: every row is the same\n".to_owned();
    }
    let told = moves.iter().map(|((from, to), states)| {
        format!("against default: {from} becomes {to} in {}\n", states.join(" "))
    });
    told.collect()
}

fn asked(needs: &Needs) -> String {
    let sentence = |axes: &[&str]| match axes {
        [] => "nothing, it is the same in every state".to_owned(),
        [one] => format!("{one} alone"),
        all => all.join(", "),
    };
    let (rollback, action) = (sentence(&needs.rollback), sentence(&needs.action));
    format!("asks     {rollback} to know whether to roll back; {action} to know the action\n")
}

fn capped(caps: &Caps) -> String {
    let Caps { rewinds, discarded, perceiver_per_token, perceiver_free, time_factor } = caps;
    format!(
        "caps     {rewinds} rewinds, {discarded} discarded tokens, {perceiver_per_token} perceiver tokens a token and \
         {perceiver_free} more, {time_factor} times the time\n"
    )
}

fn guidance(notes: &[Note]) -> String {
    let line = |note: &Note| {
        let tokens = note.tokens.map_or("-".to_owned(), |tokens| tokens.to_string());
        [note.axis.to_owned(), note.level.to_string(), tokens, note.text.to_owned()]
    };
    format!("{}\n", markdown("guidance;>level;>tokens;text", notes.iter().map(line)))
}

fn findings(checks: &[Check]) -> String {
    let line = |check: &Check| {
        [check.name.to_owned(), check.standing.name().to_owned(), check.found.clone()]
    };
    format!("{}\n", markdown("check;is;found", checks.iter().map(line)))
}
