//! Which scopes meet.

use super::{Phase, Scope, ScopeParams};

/// Answers on which scopes are compared beyond the positions that they name.
const LENGTHS: usize = 64;
/// A token that no request names: what a list of tokens does not pick.
const UNNAMED: u32 = u32::MAX;

impl Scope {
    /// Whether two scopes can select one token: of this prompt, or of prompts of any length where none is given, or of an
    /// answer. Lists of tokens count as picking everywhere, because which tokens an answer has is not known beforehand.
    pub fn overlaps(&self, other: &Scope, prompt: Option<&[u32]>) -> bool {
        let (one, other) = (self.params(), other.params());
        let (first, second) = (&one.prompt, &other.prompt);
        let unnamed = [UNNAMED; LENGTHS];
        let lengths = || (1..=LENGTHS).filter_map(|n| unnamed.get(..n));
        in_answer(&one.generation, &other.generation)
            || match prompt {
                Some(prompt) => in_prompt(first, second, prompt),
                None => {
                    picks_tokens(first, second) || lengths().any(|n| in_prompt(first, second, n))
                }
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
