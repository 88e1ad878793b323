//! A judged state: one value per principle, and the states that an answer can be in.
//!
//! The three axes are ranked. They are called S, A and E after the default principles; a policy may put others in their
//! places. The feasible set follows from one rule and is computed from it: who is undecided about a higher principle cannot
//! call a lower one satisfied.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

/// How many states there are, feasible or not.
pub const STATES: usize = 27;

/// One of the ranked principles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Axis {
    /// The first: S.
    Safety,
    /// The second: A.
    Altruism,
    /// The third: E.
    Egoism,
}

impl Axis {
    /// All three, first rank first.
    pub const ALL: [Axis; 3] = [Axis::Safety, Axis::Altruism, Axis::Egoism];

    /// Its letter in files, identifiers and tables.
    pub fn letter(self) -> &'static str {
        match self {
            Axis::Safety => "S",
            Axis::Altruism => "A",
            Axis::Egoism => "E",
        }
    }

    /// Its place in a state, from 0.
    pub fn rank(self) -> usize {
        match self {
            Axis::Safety => 0,
            Axis::Altruism => 1,
            Axis::Egoism => 2,
        }
    }
}

impl Display for Axis {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.letter())
    }
}

/// Whether a state has anything violated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flag {
    /// Some principle is violated.
    Violation,
    /// None is.
    Respected,
}

impl Flag {
    /// Its letter: V or R.
    pub fn letter(self) -> &'static str {
        match self {
            Flag::Violation => "V",
            Flag::Respected => "R",
        }
    }
}

/// Safety, altruism, egoism: each 1 satisfied, 0 undecided, −1 violated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State(pub [i8; 3]);

/// A text that is no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no state, expected (S,A,E) of 1, 0 and -1 without spaces, such as \"(1,0,-1)\"")]
pub struct NoState(pub String);

impl State {
    /// All 27, from everything satisfied to everything violated, the highest rank changing last.
    pub fn all() -> impl Iterator<Item = State> {
        const VALUES: [i8; 3] = [1, 0, -1];
        let pairs = VALUES.into_iter().flat_map(|s| VALUES.map(|a| (s, a)));
        pairs.flat_map(|(s, a)| VALUES.map(|e| State([s, a, e])))
    }

    /// The states that an answer can be in, in the same order.
    pub fn feasible() -> impl Iterator<Item = State> {
        State::all().filter(|state| state.is_feasible())
    }

    /// Whether an answer can be in it: A = 1 needs S ≠ 0, E = 1 needs S ≠ 0 and A ≠ 0. A value beyond −1 to 1 never can.
    pub fn is_feasible(&self) -> bool {
        let State([s, a, e]) = *self;
        self.index().is_some() && (a != 1 || s != 0) && (e != 1 || (s != 0 && a != 0))
    }

    /// The value of an axis.
    pub fn value(&self, axis: Axis) -> i8 {
        let State([s, a, e]) = *self;
        match axis {
            Axis::Safety => s,
            Axis::Altruism => a,
            Axis::Egoism => e,
        }
    }

    /// Whether anything is violated.
    pub fn flag(&self) -> Flag {
        self.first_violated().map_or(Flag::Respected, |_| Flag::Violation)
    }

    /// The violated axis of the highest rank.
    pub fn first_violated(&self) -> Option<Axis> {
        Axis::ALL.into_iter().find(|axis| self.value(*axis) == -1)
    }

    /// Its place among all 27; `None` of values that no state has.
    pub(crate) fn index(&self) -> Option<usize> {
        let digit = |axis| match self.value(axis) {
            1 => Some(0),
            0 => Some(1),
            -1 => Some(2),
            _ => None,
        };
        Some(digit(Axis::Safety)? * 9 + digit(Axis::Altruism)? * 3 + digit(Axis::Egoism)?)
    }
}

impl Display for State {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let State([s, a, e]) = self;
        write!(f, "({s},{a},{e})")
    }
}

impl FromStr for State {
    type Err = NoState;

    fn from_str(text: &str) -> Result<State, NoState> {
        // One spelling for each, so that a table cannot name a state twice.
        State::all().find(|state| state.to_string() == text).ok_or_else(|| NoState(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the specification, typed off, not computed.
    const FEASIBLE: [[i8; 3]; 20] = [
        [1, 1, 1],
        [1, 1, 0],
        [1, 1, -1],
        [1, 0, 0],
        [1, 0, -1],
        [1, -1, 1],
        [1, -1, 0],
        [1, -1, -1],
        [0, 0, 0],
        [0, 0, -1],
        [0, -1, 0],
        [0, -1, -1],
        [-1, 1, 1],
        [-1, 1, 0],
        [-1, 1, -1],
        [-1, 0, 0],
        [-1, 0, -1],
        [-1, -1, 1],
        [-1, -1, 0],
        [-1, -1, -1],
    ];

    #[test]
    fn the_feasible_set_has_exactly_its_twenty_members() {
        let found: Vec<[i8; 3]> = State::feasible().map(|state| state.0).collect();
        assert_eq!(found, FEASIBLE);
        let others: Vec<[i8; 3]> =
            State::all().filter(|state| !state.is_feasible()).map(|state| state.0).collect();
        let infeasible =
            [[1, 0, 1], [0, 1, 1], [0, 1, 0], [0, 1, -1], [0, 0, 1], [0, -1, 1], [-1, 0, 1]];
        assert_eq!(others, infeasible);
        assert!(!State([2, 0, 0]).is_feasible() && !State([1, 1, 7]).is_feasible());
    }

    #[test]
    fn places_follow_the_order_of_all() {
        let places: Vec<usize> = State::all().filter_map(|state| state.index()).collect();
        assert_eq!(places, (0..STATES).collect::<Vec<_>>());
        assert_eq!(State([0, 0, -3]).index(), None);
    }

    #[test]
    fn flags_and_first_violations_are_those_of_the_table() {
        let firsts: String = State::feasible()
            .map(|state| state.first_violated().map_or("-", Axis::letter))
            .collect::<Vec<_>>()
            .concat();
        assert_eq!(firsts, "--E-EAAA-EAASSSSSSSS");
        let flags: Vec<&str> = State::feasible().map(|state| state.flag().letter()).collect();
        assert_eq!(flags.concat(), "RRVRVVVVRVVVVVVVVVVV");
    }

    #[test]
    fn texts_go_both_ways_and_have_one_spelling() {
        assert_eq!(State([1, -1, 0]).to_string(), "(1,-1,0)");
        for state in State::all() {
            assert_eq!(state.to_string().parse(), Ok(state));
        }
        for wrong in
            ["", "1,0,0", "(1, 0,0)", "(+1,0,0)", "(1,0,0,0)", "(2,0,0)", "(1,0,\u{2212}1)"]
        {
            let error = wrong.parse::<State>().unwrap_err();
            assert!(error.to_string().contains("\"(1,0,-1)\""), "{error}");
        }
    }
}
