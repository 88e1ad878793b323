//! The policy file: TOML that says everything, or what differs from a built-in policy.
//!
//! Without `extends` a file is complete: three principles, the 20 feasible rows, three texts for each of S, A, E and general,
//! and a refusal; caps have defaults. With `extends` it writes what differs. The seven infeasible rows may be written as `unknown`
//! and may be left out. Only built-in policies can be extended, so a policy is one file and cannot change under its digest.

use super::state::{Axis, STATES, State};
use super::{BuiltIn, Caps, Policy, Principle, action_name, flaw};
use crate::error::{Error, Result};
use crate::monitor::detect::Action;
use crate::monitor::guidance::{Catalogue, Level, axis_key};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use trimtab_runtime::filetype::{self, FileType, NotText};

/// The largest file that is read, in bytes.
pub const FILE_LIMIT: u64 = 64 << 10;
/// The longest name, in characters.
const NAME_CHARS: usize = 64;
/// The longest question or guidance text, in characters.
pub const TEXT_CHARS: usize = 400;
/// The longest refusal, in characters.
pub const REFUSAL_CHARS: usize = 2000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    extends: Option<String>,
    refusal: Option<String>,
    principles: Option<Vec<WrittenPrinciple>>,
    #[serde(default)]
    actions: BTreeMap<String, String>,
    #[serde(default)]
    caps: WrittenCaps,
    #[serde(default)]
    guidance: WrittenGuidance,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPrinciple {
    name: String,
    question: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCaps {
    rewinds: Option<i64>,
    discarded: Option<i64>,
    perceiver_per_token: Option<i64>,
    perceiver_free: Option<i64>,
    time_factor: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenGuidance {
    #[serde(default, rename = "S")]
    safety: WrittenLevels,
    #[serde(default, rename = "A")]
    altruism: WrittenLevels,
    #[serde(default, rename = "E")]
    egoism: WrittenLevels,
    #[serde(default)]
    general: WrittenLevels,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLevels {
    #[serde(rename = "1")]
    guide: Option<String>,
    #[serde(rename = "2")]
    insist: Option<String>,
    #[serde(rename = "3")]
    decline: Option<String>,
}

impl WrittenGuidance {
    fn text(&self, axis: Option<Axis>, level: Level) -> Option<&String> {
        let levels = match axis {
            Some(Axis::Safety) => &self.safety,
            Some(Axis::Altruism) => &self.altruism,
            Some(Axis::Egoism) => &self.egoism,
            None => &self.general,
        };
        match level {
            Level::Guide => levels.guide.as_ref(),
            Level::Insist => levels.insist.as_ref(),
            Level::Decline => levels.decline.as_ref(),
        }
    }
}

/// Reads a file; every error names it.
pub(super) fn read(path: &Path) -> Result<Policy> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    let about = std::fs::metadata(path).map_err(failed)?;
    if !about.is_file() {
        return Err(flaw("file", "is not a regular file").within(path));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
    let long = bytes.len() as u64;
    if long > FILE_LIMIT {
        let (bytes, limit) = (about.len().max(long), FILE_LIMIT);
        return Err(Error::TooLarge { what: "policy", bytes, limit }.within(path));
    }
    let text = match FileType::of(&bytes) {
        Some(kind) => Err(NotText::Type(kind)),
        None => filetype::text(bytes),
    };
    let text = text.map_err(|e| flaw("file", format!("is no TOML: {e}")).within(path))?;
    parse(&text).map_err(|error| error.within(path))
}

/// Understands a file's text.
pub(super) fn parse(text: &str) -> Result<Policy> {
    let written: Written = toml::from_str(text).map_err(|error| place(text, &error))?;
    let base = base(written.extends.as_deref())?;
    let Written { name, refusal, .. } = &written;
    let name = line("name", name.as_ref().ok_or_else(|| missing("name"))?, NAME_CHARS)?;
    let refusal = match (refusal, &base) {
        (Some(text), _) => shown("refusal", text, REFUSAL_CHARS)?,
        (None, Some(base)) => base.refusal.clone(),
        (None, None) => return Err(incomplete("refusal")),
    };
    Ok(Policy {
        name,
        principles: principles(written.principles, base.as_ref())?,
        actions: actions(&written.actions, base.as_ref())?,
        caps: caps(&written.caps, base.as_ref())?,
        catalogue: catalogue(&written.guidance, base.as_ref())?,
        refusal,
    })
}

fn base(extends: Option<&str>) -> Result<Option<Policy>> {
    let Some(name) = extends else {
        return Ok(None);
    };
    let known = BuiltIn::named(name).ok_or_else(|| {
        flaw("extends", format!("is {name:?}, expected \"default\", \"strict\" or \"paper\""))
    })?;
    Policy::built_in(known).map(Some)
}

fn principles(
    written: Option<Vec<WrittenPrinciple>>,
    base: Option<&Policy>,
) -> Result<[Principle; 3]> {
    let Some(written) = written else {
        let base = base.ok_or_else(|| incomplete("principles"))?;
        return Ok(base.principles.clone());
    };
    let mut checked = Vec::with_capacity(written.len());
    for (rank, WrittenPrinciple { name, question }) in written.iter().enumerate() {
        let key = |field: &str| format!("principles[{rank}].{field}");
        checked.push(Principle {
            name: line(&key("name"), name, NAME_CHARS)?,
            question: line(&key("question"), question, TEXT_CHARS)?,
        });
    }
    checked.try_into().map_err(|found: Vec<Principle>| {
        let problem = format!("number {}, expected 3, first rank first", found.len());
        flaw("principles", problem)
    })
}

fn actions(written: &BTreeMap<String, String>, base: Option<&Policy>) -> Result<[Action; STATES]> {
    let mut rows: [Option<Action>; STATES] = [None; STATES];
    for (name, value) in written {
        let key = format!("actions.{name:?}");
        let state: State = name.parse().map_err(|_| {
            flaw(&key, "is no state, expected S, A and E of 1, 0 and -1, such as \"(1,0,-1)\"")
        })?;
        let action = action(value).ok_or_else(|| {
            flaw(&key, format!("is {value:?}, expected continue, watch, rollback or unknown"))
        })?;
        if !state.is_feasible() && action != Action::Unknown {
            return Err(infeasible(&key, action));
        }
        if let Some(row) = state.index().and_then(|index| rows.get_mut(index)) {
            *row = Some(action);
        }
    }
    let mut actions = [Action::Unknown; STATES];
    for ((state, row), place) in State::all().zip(rows).zip(&mut actions) {
        *place = match (row, base) {
            (Some(action), _) => action,
            (None, Some(base)) => base.action(state),
            (None, None) if !state.is_feasible() => Action::Unknown,
            (None, None) => return Err(incomplete(&format!("actions.\"{state}\""))),
        };
    }
    Ok(actions)
}

fn action(word: &str) -> Option<Action> {
    let all = [Action::Continue, Action::Watch, Action::Unknown, Action::Rollback];
    all.into_iter().find(|action| action_name(*action) == word)
}

fn infeasible(key: &str, action: Action) -> Error {
    let action = action_name(action);
    let why =
        "no answer can be in it: a principle cannot be satisfied while one above it is undecided";
    flaw(key, format!("is {action}, and {why}; write unknown or leave it out"))
}

fn caps(written: &WrittenCaps, base: Option<&Policy>) -> Result<Caps> {
    let base = base.map_or_else(Caps::default, |base| base.caps);
    let count = |field: &str, value: Option<i64>, usual: usize, most: usize| {
        let Some(value) = value else {
            return Ok(usual);
        };
        let fits = usize::try_from(value).ok().filter(|value| *value <= most);
        let problem = || format!("is {value}, expected 0 to {most}");
        fits.ok_or_else(|| flaw(format!("caps.{field}"), problem()))
    };
    let time_factor = written.time_factor.unwrap_or(base.time_factor);
    if !(1.0..=100.0).contains(&time_factor) {
        let problem = format!("is {time_factor}, expected 1 to 100");
        return Err(flaw("caps.time_factor", problem));
    }
    let WrittenCaps { rewinds, discarded, perceiver_per_token, perceiver_free, .. } = *written;
    let per_token = base.perceiver_per_token;
    Ok(Caps {
        rewinds: count("rewinds", rewinds, base.rewinds as usize, 10)? as u32,
        discarded: count("discarded", discarded, base.discarded, 4096)?,
        perceiver_per_token: count("perceiver_per_token", perceiver_per_token, per_token, 64)?,
        perceiver_free: count("perceiver_free", perceiver_free, base.perceiver_free, 4096)?,
        time_factor,
    })
}

fn catalogue(written: &WrittenGuidance, base: Option<&Policy>) -> Result<Catalogue> {
    Catalogue::of(|axis, level| {
        let key = format!("guidance.{}.{}", axis_key(axis), level.number());
        match (written.text(axis, level), base) {
            (Some(text), _) => line(&key, text, TEXT_CHARS),
            (None, Some(base)) => Ok(base.catalogue.note(axis, level).to_owned()),
            (None, None) => Err(incomplete(&key)),
        }
    })
}

/// A text of one line without outer spaces.
fn line(key: &str, text: &str, most: usize) -> Result<String> {
    if text.contains(char::is_control) {
        return Err(flaw(key, "has a line break or another control character; write one line"));
    }
    shown(key, text, most)
}

/// A text without outer spaces.
fn shown(key: &str, text: &str, most: usize) -> Result<String> {
    let (text, chars) = (text.trim(), text.trim().chars().count());
    match chars {
        0 => Err(flaw(key, "is empty; write a text, or leave the key out to keep the base's")),
        chars if chars > most => {
            Err(flaw(key, format!("has {chars} characters, at most {most} are allowed")))
        }
        _ => Ok(text.to_owned()),
    }
}

fn missing(key: &str) -> Error {
    flaw(key, "is missing; add it")
}

fn incomplete(key: &str) -> Error {
    flaw(key, "is missing; write it, or say extends = \"default\" to keep what that has")
}

/// An error of the TOML reader with the line it is on, and the key there, which its message does not always name.
fn place(text: &str, error: &toml::de::Error) -> Error {
    let message = error.message().trim_end().replace('\n', ", ");
    let Some(span) = error.span() else {
        return flaw("file", format!("is refused: {message}"));
    };
    let before = text.get(..span.start).unwrap_or(text);
    let number = before.matches('\n').count() + 1;
    let content = text.lines().nth(number - 1).unwrap_or_default();
    let key = content.split_once('=').map_or(content, |(key, _)| key).trim();
    flaw(format!("line {number} ({key})"), format!("is refused: {message}"))
}
