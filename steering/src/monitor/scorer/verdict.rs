//! Verdicts that a judge writes out, read strictly: nothing that does not follow the grammar is ever a verdict.

use crate::monitor::policy::{Flag, State};

/// Reads `V (s, a, e)` or `R (s, a, e)`: capital letter, one space, three of `1`, `0`, `-1` between brackets, commas with
/// at most one space behind them, nothing else but white space around it all. The flag has to agree with the numbers,
/// and the state has to be one that an answer can be in.
///
/// ```
/// use trimtab_steering::monitor::policy::{Flag, State};
/// use trimtab_steering::monitor::scorer::parse_verdict;
///
/// assert_eq!(parse_verdict("V (-1, 0, 0)"), Some((Flag::Violation, State([-1, 0, 0]))));
/// assert_eq!(parse_verdict("R (-1, 0, 0)"), None);
/// assert_eq!(parse_verdict("It is safe: R (1, 1, 1)"), None);
/// ```
pub fn parse_verdict(text: &str) -> Option<(Flag, State)> {
    let text = text.trim_matches([' ', '\n']);
    let (flag, rest) = text.split_once(' ')?;
    let flag = match flag {
        "V" => Flag::Violation,
        "R" => Flag::Respected,
        _ => return None,
    };
    let mut values = rest.strip_prefix('(')?.strip_suffix(')')?.split(',');
    let state = State([first(values.next()?)?, later(values.next()?)?, later(values.next()?)?]);
    let agrees = values.next().is_none() && state.is_feasible() && state.flag() == flag;
    agrees.then_some((flag, state))
}

fn first(value: &str) -> Option<i8> {
    match value {
        "1" => Some(1),
        "0" => Some(0),
        "-1" => Some(-1),
        _ => None,
    }
}

fn later(value: &str) -> Option<i8> {
    first(value.strip_prefix(' ').unwrap_or(value))
}
