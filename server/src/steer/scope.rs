//! The `apply` object and the core's scope.

use super::fault::Fault;
use crate::wire::steering::{Apply, Whole};
use trimtab_steering::scope::{Phase, Picks, Scope, ScopeParams, Window};

/// Entries in one list of tokens or positions.
const ENTRIES: usize = 4096;

/// One half of a phase's fields, and how they are written.
struct Fields<'a> {
    tokens: (&'static str, Option<&'a Vec<u32>>),
    positions: (&'static str, Option<&'a Vec<i64>>),
    window: Option<(i64, Option<i64>)>,
}

impl TryFrom<&Apply> for Scope {
    type Error = Fault;

    fn try_from(apply: &Apply) -> Result<Scope, Fault> {
        let prompt = Fields {
            tokens: ("prompt_tokens", apply.prompt_tokens.as_ref()),
            positions: ("prompt_positions", apply.prompt_positions.as_ref()),
            window: apply.prompt_window,
        };
        let not_prompt = Fields {
            tokens: ("exclude_prompt_tokens", apply.exclude_prompt_tokens.as_ref()),
            positions: ("exclude_prompt_positions", apply.exclude_prompt_positions.as_ref()),
            window: apply.exclude_prompt_window,
        };
        let generation = Fields {
            tokens: ("generation_tokens", apply.generation_tokens.as_ref()),
            positions: ("generation_positions", apply.generation_positions.as_ref()),
            window: apply.generation_window,
        };
        let not_generation = Fields {
            tokens: ("exclude_generation_tokens", apply.exclude_generation_tokens.as_ref()),
            positions: (
                "exclude_generation_positions",
                apply.exclude_generation_positions.as_ref(),
            ),
            window: apply.exclude_generation_window,
        };
        let params = ScopeParams {
            prompt: phase(apply.prompt, prompt, not_prompt)?,
            generation: phase(apply.generation, generation, not_generation)?,
        };
        params.check().map_err(|e| Fault::of(e, ""))
    }
}

fn phase(whole: Option<Whole>, include: Fields, exclude: Fields) -> Result<Phase, Fault> {
    let (include, exclude) = (picks(include)?, picks(exclude)?);
    // The whole phase says all that its parts could.
    let include = if whole == Some(Whole::All) { Picks::whole() } else { include };
    Ok(Phase { include, exclude })
}

fn picks(fields: Fields) -> Result<Picks, Fault> {
    Ok(Picks {
        tokens: list(fields.tokens)?,
        positions: list(fields.positions)?,
        window: fields.window.map(|(start, end)| Window { start, end }),
    })
}

fn list<T: Copy>((name, list): (&'static str, Option<&Vec<T>>)) -> Result<Vec<T>, Fault> {
    match list.map(Vec::as_slice) {
        None => Ok(Vec::new()),
        Some([]) => Err(Fault::value(name, "is empty; leave it out")),
        Some(entries) if entries.len() > ENTRIES => {
            let problem = format!("has {} entries, expected at most {ENTRIES}", entries.len());
            Err(Fault::value(name, problem))
        }
        Some(entries) => Ok(entries.to_vec()),
    }
}

impl From<&Scope> for Apply {
    fn from(scope: &Scope) -> Apply {
        let ScopeParams { prompt, generation } = scope.params();
        let written = |phase: &Phase| {
            let whole = phase.include.window == Some(Window::WHOLE);
            (
                whole.then_some(Whole::All),
                if whole { Picks::default() } else { phase.include.clone() },
            )
        };
        let ((prompt_all, of_prompt), (generation_all, of_answer)) =
            (written(prompt), written(generation));
        Apply {
            prompt: prompt_all,
            prompt_window: window(&of_prompt),
            prompt_tokens: some(of_prompt.tokens),
            prompt_positions: some(of_prompt.positions),
            exclude_prompt_window: window(&prompt.exclude),
            exclude_prompt_tokens: some(prompt.exclude.tokens.clone()),
            exclude_prompt_positions: some(prompt.exclude.positions.clone()),
            generation: generation_all,
            generation_window: window(&of_answer),
            generation_tokens: some(of_answer.tokens),
            generation_positions: some(of_answer.positions),
            exclude_generation_window: window(&generation.exclude),
            exclude_generation_tokens: some(generation.exclude.tokens.clone()),
            exclude_generation_positions: some(generation.exclude.positions.clone()),
        }
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    if list.is_empty() { None } else { Some(list) }
}

fn window(picks: &Picks) -> Option<(i64, Option<i64>)> {
    picks.window.map(|window| (window.start, window.end))
}

/// Answers on which scopes are compared beyond the positions that they name.
const LENGTHS: usize = 64;
/// A token that no request names: what a list of tokens does not pick.
const UNNAMED: u32 = u32::MAX;

/// Whether two scopes can select one token: of this prompt, or of prompts of any length where none is given, or of an
/// answer. Lists of tokens count as picking everywhere, because which tokens an answer has is not known beforehand.
pub(crate) fn overlap(one: &Scope, other: &Scope, prompt: Option<&[u32]>) -> bool {
    let (one, other) = (one.params(), other.params());
    in_answer(&one.generation, &other.generation)
        || match prompt {
            Some(prompt) => in_prompt(&one.prompt, &other.prompt, prompt),
            None => {
                let unnamed = [UNNAMED; LENGTHS];
                let lengths = 1..=LENGTHS;
                picks_tokens(&one.prompt, &other.prompt)
                    || lengths.into_iter().any(|n| {
                        in_prompt(&one.prompt, &other.prompt, unnamed.get(..n).unwrap_or_default())
                    })
            }
        }
}

/// Whether two phases are both included in, and at least one by its tokens.
fn picks_tokens(one: &Phase, other: &Phase) -> bool {
    let (one, other) = (&one.include, &other.include);
    let named = !one.tokens.is_empty() || !other.tokens.is_empty();
    named && !one.is_empty() && !other.is_empty()
}

fn in_prompt(one: &Phase, other: &Phase, prompt: &[u32]) -> bool {
    let of = |phase: &Phase| only(phase.clone(), Phase::default());
    let (Some(one), Some(other)) = (of(one), of(other)) else {
        return false;
    };
    let both = |(at, token): (usize, &u32)| {
        one.selects(at, *token, prompt.len()) && other.selects(at, *token, prompt.len())
    };
    prompt.iter().enumerate().any(both)
}

/// Between the positions that are named in windows and lists, nothing changes: so it is enough to look at those.
fn in_answer(one: &Phase, other: &Phase) -> bool {
    if picks_tokens(one, other) {
        return true;
    }
    let of = |phase: &Phase| only(Phase::default(), phase.clone());
    let (Some(first), Some(second)) = (of(one), of(other)) else {
        return false;
    };
    let picks = [&one.include, &one.exclude, &other.include, &other.exclude];
    let named = picks.into_iter().flat_map(|picks| {
        let bounds = picks.window.into_iter().flat_map(|w| [Some(w.start), w.end]).flatten();
        picks.positions.iter().copied().chain(bounds)
    });
    let beside = named.flat_map(|at| [at, at.saturating_add(1)]).chain([0]);
    let mut places = beside.filter_map(|at| usize::try_from(at).ok());
    places.any(|at| first.selects(at, UNNAMED, 0) && second.selects(at, UNNAMED, 0))
}

/// A scope of one phase, if it can select anything.
fn only(prompt: Phase, generation: Phase) -> Option<Scope> {
    ScopeParams { prompt, generation }.check().ok()
}

/// Whether a scope can select a token of an answer.
pub(crate) fn touches_answer(scope: &Scope) -> bool {
    !scope.params().generation.include.is_empty()
}
