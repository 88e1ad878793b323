//! Scope: which tokens of a sequence a vector acts on.
//!
//! A sequence has two phases, the prompt and what was generated. Each has picks that include and picks that exclude:
//! token ids, positions, and one half-open window. Includes are a union, excludes always win, and a phase that nothing
//! includes is not touched. A scope that can select nothing is no scope: it could only steer silently nowhere.
//!
//! The names of the fields are those of EasySteer's `apply` object, which the HTTP API and the vector files use too.

mod overlap;

use crate::error::{Error, Result};
use trimtab_runtime::hook::Positions;

/// Positions of a phase, from one and below another. Below 0 they count from the end of the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first one.
    pub start: i64,
    /// The first one that does not belong to it; `None` for the phase's end.
    pub end: Option<i64>,
}

impl Window {
    /// The whole phase.
    pub const WHOLE: Window = Window { start: 0, end: None };

    fn of(position: i64) -> Window {
        Window { start: position, end: position.checked_add(1).filter(|end| *end != 0) }
    }

    /// Whether no phase, however long, has a position in it.
    fn is_empty(self) -> bool {
        self.end.is_some_and(|end| end <= self.start && (end < 0) == (self.start < 0))
    }

    /// Whether it holds all positions of another, however long the phase is.
    fn covers(self, inner: Window) -> bool {
        let alike = |a: i64, b: i64| (a < 0) == (b < 0);
        let start =
            self.start == 0 || (alike(self.start, inner.start) && self.start <= inner.start);
        let end = match (self.end, inner.end) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(outer), Some(inner)) => alike(outer, inner) && inner <= outer,
        };
        start && end
    }

    fn holds(self, index: i64, len: i64) -> bool {
        let bound = |bound: i64| if bound < 0 { len.saturating_add(bound) } else { bound };
        index >= bound(self.start) && self.end.is_none_or(|end| index < bound(end))
    }
}

/// A choice of tokens in one phase: whatever any of the three names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picks {
    /// Token ids, wherever they stand.
    pub tokens: Vec<u32>,
    /// Positions in the phase. Below 0 they count from the end of the prompt.
    pub positions: Vec<i64>,
    /// A run of positions.
    pub window: Option<Window>,
}

impl Picks {
    /// The whole phase.
    pub fn whole() -> Picks {
        Picks { window: Some(Window::WHOLE), ..Picks::default() }
    }

    /// Whether it names nothing.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.positions.is_empty() && self.window.is_none()
    }

    /// Sorted, without what the rest says already.
    fn tidied(mut self) -> Picks {
        if self.window == Some(Window::WHOLE) {
            return Picks::whole();
        }
        self.tokens.sort_unstable();
        self.tokens.dedup();
        self.positions.sort_unstable();
        self.positions.dedup();
        self
    }

    fn hold(&self, token: u32, index: i64, len: i64) -> bool {
        let at = |position: i64| self.positions.binary_search(&position).is_ok();
        self.window.is_some_and(|window| window.holds(index, len))
            || at(index)
            || at(index.saturating_sub(len))
            || self.tokens.binary_search(&token).is_ok()
    }

    /// Whether every token that it picks is picked by another too, whatever the sequence.
    fn inside(&self, other: &Picks) -> bool {
        let covered = |inner| other.window.is_some_and(|outer| outer.covers(inner));
        let all_tokens = other.window == Some(Window::WHOLE)
            || self.tokens.iter().all(|token| other.tokens.contains(token));
        let at =
            |position: &i64| other.positions.contains(position) || covered(Window::of(*position));
        all_tokens && self.positions.iter().all(at) && self.window.is_none_or(covered)
    }

    /// The one window that says the same, if there is one.
    fn as_window(&self) -> Option<Window> {
        match (self.tokens.as_slice(), self.positions.as_slice(), self.window) {
            ([], [], window) => window,
            ([], [position], None) => Some(Window::of(*position)),
            _ => None,
        }
    }
}

/// What is chosen in one phase.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Phase {
    /// A union.
    pub include: Picks,
    /// Wins over every include.
    pub exclude: Picks,
}

impl Phase {
    /// All of it.
    pub fn whole() -> Phase {
        Phase { include: Picks::whole(), exclude: Picks::default() }
    }

    fn holds(&self, token: u32, index: i64, len: i64) -> bool {
        self.include.hold(token, index, len) && !self.exclude.hold(token, index, len)
    }

    fn is_untouched(&self) -> bool {
        self.include.is_empty()
    }

    /// The one window that says the same, if there is one.
    fn as_window(&self) -> Option<Window> {
        self.include.as_window().filter(|_| self.exclude.is_empty())
    }

    fn check(self, names: &Names) -> Result<Phase> {
        let checked = Phase { include: self.include.tidied(), exclude: self.exclude.tidied() };
        for (picks, field) in
            [(&checked.include, names.window), (&checked.exclude, names.exclude_window)]
        {
            if picks.window.is_some_and(Window::is_empty) {
                return Err(Error::empty_selection(format!("{field} ends before it begins")));
            }
        }
        if checked.is_untouched() && !checked.exclude.is_empty() {
            let reason =
                format!("{0} is excluded from and not included; add {0}: all", names.phase);
            return Err(Error::empty_selection(reason));
        }
        if !checked.is_untouched() && checked.include.inside(&checked.exclude) {
            let reason = format!("everything included of {} is excluded", names.phase);
            return Err(Error::empty_selection(reason));
        }
        Ok(checked)
    }
}

/// How the fields of a phase are written.
pub(crate) struct Names {
    pub(crate) phase: &'static str,
    pub(crate) tokens: &'static str,
    pub(crate) positions: &'static str,
    pub(crate) window: &'static str,
    pub(crate) exclude_tokens: &'static str,
    pub(crate) exclude_positions: &'static str,
    pub(crate) exclude_window: &'static str,
}

impl Names {
    /// The names of what is excluded, in the place of those of what is included.
    pub(crate) fn excluded(&self) -> Names {
        Names {
            tokens: self.exclude_tokens,
            positions: self.exclude_positions,
            window: self.exclude_window,
            ..*self
        }
    }
}

pub(crate) const PROMPT: Names = Names {
    phase: "prompt",
    tokens: "prompt_tokens",
    positions: "prompt_positions",
    window: "prompt_window",
    exclude_tokens: "exclude_prompt_tokens",
    exclude_positions: "exclude_prompt_positions",
    exclude_window: "exclude_prompt_window",
};

/// The fields of what is generated.
pub(crate) const GENERATION: Names = Names {
    phase: "generation",
    tokens: "generation_tokens",
    positions: "generation_positions",
    window: "generation_window",
    exclude_tokens: "exclude_generation_tokens",
    exclude_positions: "exclude_generation_positions",
    exclude_window: "exclude_generation_window",
};

/// What a scope is made of, before it is checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeParams {
    /// Of the prompt.
    pub prompt: Phase,
    /// Of what was generated.
    pub generation: Phase,
}

impl ScopeParams {
    /// The scope, if it can select anything.
    ///
    /// ```
    /// use trimtab_steering::scope::{Phase, Picks, ScopeParams, Window};
    ///
    /// let tail = Picks { window: Some(Window { start: -5, end: None }), ..Picks::default() };
    /// let prompt = Phase { include: tail, ..Phase::default() };
    /// let scope = ScopeParams { prompt, ..ScopeParams::default() }.check().unwrap();
    /// // Position 6 of a prompt of 10 tokens is among its last five.
    /// assert!(scope.selects(6, 42, 10) && !scope.selects(4, 42, 10));
    /// assert_eq!(ScopeParams::default().check().unwrap_err().code(), "empty_selection");
    /// ```
    pub fn check(self) -> Result<Scope> {
        not_negative(&self.generation.include, [GENERATION.positions, GENERATION.window])?;
        let exclude = [GENERATION.exclude_positions, GENERATION.exclude_window];
        not_negative(&self.generation.exclude, exclude)?;
        let prompt = self.prompt.check(&PROMPT)?;
        let generation = self.generation.check(&GENERATION)?;
        if prompt.is_untouched() && generation.is_untouched() {
            let reason = "it includes nothing; name prompt, generation or a part of them";
            return Err(Error::empty_selection(reason));
        }
        Ok(Scope(ScopeParams { prompt, generation }))
    }
}

/// How long an answer will be is not known while it is made, so nothing counts from its end.
fn not_negative(picks: &Picks, fields: [&'static str; 2]) -> Result<()> {
    let bounds = picks.window.into_iter().flat_map(|w| std::iter::once(w.start).chain(w.end));
    let listed = picks.positions.iter().map(|position| (fields[0], *position));
    match listed.chain(bounds.map(|bound| (fields[1], bound))).find(|(_, at)| *at < 0) {
        None => Ok(()),
        Some((field, at)) => {
            let problem = format!("has {at}, expected 0 or more: an answer's end is not known yet");
            Err(Error::setting(field, problem))
        }
    }
}

/// Which tokens of a sequence are acted on. At least one token of some sequence is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope(ScopeParams);

impl Default for Scope {
    fn default() -> Self {
        Scope::all()
    }
}

impl Scope {
    /// Every token.
    pub fn all() -> Scope {
        Scope(ScopeParams { prompt: Phase::whole(), generation: Phase::whole() })
    }

    /// The prompt's tokens.
    pub fn prompt() -> Scope {
        Scope(ScopeParams { prompt: Phase::whole(), generation: Phase::default() })
    }

    /// The generated tokens. The first of them is chosen before it is one: by the prompt's last token, which is not in
    /// this scope.
    pub fn generated() -> Scope {
        Scope(ScopeParams { prompt: Phase::default(), generation: Phase::whole() })
    }

    /// The prompt's last token.
    pub fn last() -> Scope {
        let include = Picks { positions: vec![-1], ..Picks::default() };
        let prompt = Phase { include, exclude: Picks::default() };
        Scope(ScopeParams { prompt, generation: Phase::default() })
    }

    /// The prompt's last token and everything generated: every token that a token of the answer is chosen by (CAA, arXiv
    /// 2312.06681).
    pub fn answering() -> Scope {
        let Scope(ScopeParams { prompt, .. }) = Scope::last();
        Scope(ScopeParams { prompt, generation: Phase::whole() })
    }

    /// What it is made of.
    pub fn params(&self) -> &ScopeParams {
        &self.0
    }

    /// Whether a token is acted on: its absolute position, its id, and where the prompt ends.
    pub fn selects(&self, position: usize, token: u32, prompt_len: usize) -> bool {
        let index = |position: usize| i64::try_from(position).unwrap_or(i64::MAX);
        match position.checked_sub(prompt_len) {
            None => self.0.prompt.holds(token, index(position), index(prompt_len)),
            // No length of an answer is ever counted from: bounds are not negative there.
            Some(generated) => self.0.generation.holds(token, index(generated), i64::MAX),
        }
    }

    /// Whether it can select a token of an answer.
    pub fn touches_answer(&self) -> bool {
        !self.0.generation.is_untouched()
    }

    /// Refuses a prompt on which the scope would select nothing, now or later.
    pub fn admit(&self, prompt: &[u32]) -> Result<()> {
        let chosen = |(at, token): (usize, &u32)| self.selects(at, *token, prompt.len());
        if self.touches_answer() || prompt.iter().enumerate().any(chosen) {
            return Ok(());
        }
        let reason = format!("no token of this prompt of {} is in the scope", prompt.len());
        Err(Error::empty_selection(reason))
    }

    /// The runtime's positions that say the same, if there are: then a constant addition stays free.
    pub(crate) fn positions(&self) -> Option<Positions> {
        let ScopeParams { prompt, generation } = &self.0;
        if generation.is_untouched() {
            return Some(match prompt.as_window()? {
                Window::WHOLE => Positions::Prompt,
                Window { start, end } => Positions::PromptWindow(start, end),
            });
        }
        let answer = generation.as_window()?;
        if prompt.is_untouched() {
            let index = |bound: i64| usize::try_from(bound).unwrap_or(usize::MAX);
            let end = answer.end.map_or(usize::MAX, index);
            return Some(match answer {
                Window::WHOLE => Positions::Generated,
                Window { start, .. } => Positions::GeneratedWindow(index(start)..end),
            });
        }
        match (prompt.as_window()?, answer) {
            (Window::WHOLE, Window::WHOLE) => Some(Positions::All),
            (Window { start, end: None }, Window::WHOLE) => Some(Positions::From(start)),
            _ => None,
        }
    }

    /// Positions of the runtime that hold at least what the scope selects.
    pub(crate) fn cover(&self) -> Positions {
        match (self.0.prompt.is_untouched(), self.0.generation.is_untouched()) {
            (false, true) => Positions::Prompt,
            (true, false) => Positions::Generated,
            (false, false) | (true, true) => Positions::All,
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = Error;

    /// Reads the words `all`, `prompt`, `generated` and `last`.
    fn from_str(word: &str) -> Result<Scope> {
        match word {
            "all" => Ok(Scope::all()),
            "prompt" => Ok(Scope::prompt()),
            "generated" => Ok(Scope::generated()),
            "last" => Ok(Scope::last()),
            _ => {
                let problem = format!("is {word:?}, expected all, prompt, generated or last");
                Err(Error::setting("scope", problem))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: i64, end: Option<i64>) -> Picks {
        Picks { window: Some(Window { start, end }), ..Picks::default() }
    }

    fn at(positions: &[i64]) -> Picks {
        Picks { positions: positions.to_vec(), ..Picks::default() }
    }

    fn tokens(tokens: &[u32]) -> Picks {
        Picks { tokens: tokens.to_vec(), ..Picks::default() }
    }

    fn prompt(include: Picks, exclude: Picks) -> Result<Scope> {
        ScopeParams { prompt: Phase { include, exclude }, ..ScopeParams::default() }.check()
    }

    fn generation(include: Picks, exclude: Picks) -> Result<Scope> {
        ScopeParams { generation: Phase { include, exclude }, ..ScopeParams::default() }.check()
    }

    /// Positions selected of a prompt of tokens 10, 11, … and an answer of 20, 21, …
    fn selected(scope: &Scope, prompt_len: usize, answer: usize) -> Vec<usize> {
        let token = |p: usize| match p.checked_sub(prompt_len) {
            None => 10 + p as u32,
            Some(g) => 20 + g as u32,
        };
        (0..prompt_len + answer).filter(|p| scope.selects(*p, token(*p), prompt_len)).collect()
    }

    #[test]
    fn words_are_the_four_usual_scopes() {
        for (word, expected) in [
            ("all", vec![0, 1, 2, 3, 4]),
            ("prompt", vec![0, 1, 2]),
            ("generated", vec![3, 4]),
            ("last", vec![2]),
        ] {
            assert_eq!(selected(&word.parse().unwrap(), 3, 2), expected, "{word}");
        }
        assert!("some".parse::<Scope>().unwrap_err().to_string().contains("expected all, prompt"));
    }

    #[test]
    fn includes_are_a_union_and_excludes_win() {
        let picks = Picks { tokens: vec![13], positions: vec![-1, 0], window: None };
        assert_eq!(selected(&prompt(picks.clone(), Picks::default()).unwrap(), 6, 1), [0, 3, 5]);
        assert_eq!(selected(&prompt(picks, at(&[0])).unwrap(), 6, 1), [3, 5]);
        let all_but = |exclude| selected(&prompt(Picks::whole(), exclude).unwrap(), 6, 1);
        assert_eq!(all_but(tokens(&[13, 14])), [0, 1, 2, 5]);
        assert_eq!(all_but(window(2, Some(-2))), [0, 1, 4, 5]);
        let answer = Picks { tokens: vec![20], ..window(2, Some(4)) };
        assert_eq!(selected(&generation(answer, at(&[3])).unwrap(), 2, 6), [2, 4]);
    }

    #[test]
    fn windows_are_half_open_and_count_from_either_end() {
        let of =
            |start, end| selected(&prompt(window(start, end), Picks::default()).unwrap(), 6, 2);
        assert_eq!(of(2, Some(4)), [2, 3]);
        assert_eq!(of(-2, None), [4, 5]);
        assert_eq!(of(-3, Some(-1)), [3, 4]);
        assert_eq!(of(1, Some(-4)), [1]);
        // A prompt shorter than the window has what there is of it.
        assert_eq!(of(-9, Some(2)), [0, 1]);
        assert_eq!(of(4, Some(99)), [4, 5]);
    }

    #[test]
    fn what_selects_nothing_is_refused() {
        for scope in [
            ScopeParams::default().check(),
            prompt(Picks::default(), tokens(&[1])),
            prompt(window(4, Some(4)), Picks::default()),
            prompt(window(-1, Some(-3)), Picks::default()),
            prompt(Picks::whole(), Picks::whole()),
            prompt(window(2, Some(4)), window(1, Some(5))),
            prompt(at(&[-1, -2]), window(-3, None)),
            prompt(tokens(&[5]), tokens(&[4, 5])),
            generation(at(&[3]), at(&[3])),
        ] {
            assert_eq!(scope.unwrap_err().code(), "empty_selection");
        }
        assert!(prompt(window(2, Some(5)), window(1, Some(4))).is_ok());
        assert!(prompt(window(2, Some(-2)), window(0, Some(-3))).is_ok());
        for (scope, field) in [
            (generation(at(&[-1]), Picks::default()), "generation_positions"),
            (generation(window(0, Some(-1)), Picks::default()), "generation_window"),
            (generation(Picks::whole(), at(&[-2])), "exclude_generation_positions"),
        ] {
            assert!(scope.unwrap_err().to_string().starts_with(field));
        }
    }

    #[test]
    fn a_prompt_without_a_selected_token_is_refused() {
        let scope = prompt(at(&[4]), Picks::default()).unwrap();
        assert!(scope.admit(&[1; 5]).is_ok());
        assert_eq!(scope.admit(&[1; 4]).unwrap_err().code(), "empty_selection");
        assert!(Scope::generated().admit(&[1]).is_ok());
    }

    #[test]
    fn the_runtimes_positions_say_the_same() {
        let both = |prompt, generation| {
            let phase = |include| Phase { include, exclude: Picks::default() };
            ScopeParams { prompt: phase(prompt), generation: phase(generation) }.check().unwrap()
        };
        let none = Picks::default;
        let lowered = [
            Scope::all(),
            Scope::prompt(),
            Scope::generated(),
            Scope::last(),
            both(window(-2, None), Picks::whole()),
            both(window(2, Some(-1)), none()),
            both(at(&[1]), none()),
            both(none(), window(1, Some(3))),
            both(none(), at(&[2])),
            both(none(), window(2, None)),
        ];
        for scope in lowered {
            let positions = scope.positions().unwrap();
            for prompt_len in 1..7 {
                let found: Vec<usize> =
                    positions.overlap(&(0..prompt_len + 5), prompt_len).collect();
                assert_eq!(found, selected(&scope, prompt_len, 5), "{scope:?} {prompt_len}");
            }
        }
        for scope in [
            both(at(&[0, 2]), none()),
            both(tokens(&[11]), none()),
            both(window(0, Some(2)), Picks::whole()),
            both(Picks::whole(), window(0, Some(2))),
            prompt(Picks::whole(), at(&[0])).unwrap(),
        ] {
            assert_eq!(scope.positions(), None, "{scope:?}");
            for prompt_len in 1..7 {
                let cover: Vec<usize> =
                    scope.cover().overlap(&(0..prompt_len + 5), prompt_len).collect();
                assert!(selected(&scope, prompt_len, 5).iter().all(|p| cover.contains(p)));
            }
        }
    }
}
