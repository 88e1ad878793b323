//! Scores of the twenty states: a tree of labels, safety first.
//!
//! A state's score is log p(S) + log p(A | S) + log p(E | S, A), each over the model's whole vocabulary, plus the
//! state's bias. States that the principles exclude have no score; what is left is normalised over the twenty.

use crate::monitor::policy::State;

/// What a label can say, in the order of a wording's words.
pub(super) const VALUES: [i8; 3] = [1, 0, -1];
/// How many states there are.
pub const STATES: usize = 20;

/// The states that there are, in the order of every list of twenty numbers here.
pub fn states() -> Vec<State> {
    State::feasible().collect()
}

/// The values of the first two axes that some state has, as indices of labels.
pub(super) fn branches() -> Vec<(usize, usize)> {
    let pairs = (0..VALUES.len()).flat_map(|s| (0..VALUES.len()).map(move |a| (s, a)));
    let value = |index: usize| VALUES.get(index).copied().unwrap_or(0);
    let begins = |(s, a): &(usize, usize)| {
        states().iter().any(|state| state.0[..2] == [value(*s), value(*a)])
    };
    pairs.filter(begins).collect()
}

/// Log-probabilities of the labels at each node; NaN where a node was not scored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree {
    pub safety: [f64; 3],
    pub altruism: [[f64; 3]; 3],
    pub egoism: [[[f64; 3]; 3]; 3],
}

impl Tree {
    pub fn new(safety: [f64; 3]) -> Tree {
        Tree { safety, altruism: [[f64::NAN; 3]; 3], egoism: [[[f64::NAN; 3]; 3]; 3] }
    }

    /// The score of each state, without biases.
    // [] -> [states]
    pub fn scores(&self) -> Vec<f64> {
        let at = |row: &[f64; 3], index: usize| row.get(index).copied().unwrap_or(f64::NAN);
        let index = |value: i8| VALUES.iter().position(|v| *v == value).unwrap_or(VALUES.len());
        let score = |state: State| {
            let [s, a, e] = state.0.map(index);
            let altruism = self.altruism.get(s).map_or(f64::NAN, |row| at(row, a));
            let egoism = self.egoism.get(s).and_then(|rows| rows.get(a));
            at(&self.safety, s) + altruism + egoism.map_or(f64::NAN, |row| at(row, e))
        };
        states().into_iter().map(score).collect()
    }
}

/// Log-probabilities of some tokens behind a sequence.
// [vocab] -> [3]
pub(super) fn log_probabilities(logits: &[f32], tokens: [u32; 3]) -> [f64; 3] {
    let wide: Vec<f64> = logits.iter().map(|x| f64::from(*x)).collect();
    let total = log_sum(wide.iter().copied());
    tokens.map(|token| wide.get(token as usize).map_or(f64::NAN, |x| x - total))
}

/// Scores and biases as log-probabilities that sum to 1.
// [n], [n] -> [n]
pub(super) fn normalised(scores: &[f64], biases: &[f64]) -> Vec<f64> {
    let sums: Vec<f64> = scores.iter().zip(biases).map(|(s, b)| s + b).collect();
    let total = log_sum(sums.iter().copied());
    sums.iter().map(|x| x - total).collect()
}

/// Log of a sum of exponentials; −∞ of nothing, NaN if any is.
// [n] -> []
pub(super) fn log_sum(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let most = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY && !values.clone().any(f64::is_nan) {
        return most;
    }
    most + values.map(|x| (x - most).exp()).sum::<f64>().ln()
}

/// Log-odds of what is marked against the rest.
// [n], [n] -> []
pub(super) fn log_odds(log_probabilities: &[f64], marked: impl Fn(usize) -> bool) -> f64 {
    let part = |wanted: bool| {
        let each = log_probabilities.iter().enumerate();
        log_sum(
            each.filter(|(index, _)| marked(*index) == wanted)
                .map(|(_, x)| *x)
                .collect::<Vec<_>>()
                .into_iter(),
        )
    };
    part(true) - part(false)
}
